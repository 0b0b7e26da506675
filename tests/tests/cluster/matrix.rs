//! Who reaches whom.

use std::time::Duration;

use hybridnet_tests::matrix::{Matrix, scene::Scene};

use crate::on_the_cluster;

#[test]
fn everybody_reaches_everybody_in_both_families_and_pods_show_their_own_addresses() {
    on_the_cluster("matrix", async |cluster| {
        let scene = Scene::set(cluster, Duration::from_mins(1)).await?;

        let matrix = Matrix::settle(cluster, &scene, Duration::from_secs(20)).await?;

        println!("{matrix}");
        // 4 pods ask 8 others each, 3 nodes ask 4 pods and the Service, the host outside asks 3 nodes: twice.
        assert_eq!(matrix.size(), 2 * (4 * 8 + 3 * 5 + 3));
        assert_eq!(matrix.wrong(), Vec::<String>::new());
        Scene::clear(cluster).await
    });
}
