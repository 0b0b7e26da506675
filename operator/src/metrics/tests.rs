use super::*;

#[test]
fn the_original_names_labels_and_units_stay() {
    let metrics = Metrics::default();
    let usage = Usage {
        total: 253,
        used: 1,
        available: 252,
    };
    metrics.set_network_usage("n", usage, Usage::default(), 0);
    metrics.set_subnet_usage("n", "s", usage);
    metrics.allocation(AllocateType::Normal, true, Duration::from_millis(3));
    metrics.set_leading("hybridnet-manager-election", true);

    let page = metrics.encode().unwrap();

    for line in [
        r#"ip_usage{networkName="n",ipFamily="ipv4",usageType="available"} 252"#,
        r#"ip_usage{networkName="n",ipFamily="dualstack",usageType="available"} 0"#,
        r#"subnet_ip_usage{subnetName="s",networkName="n",usageType="used"} 1"#,
        r#"ip_allocation_period{allocateType="normal",success="true",quantile="0.5"} 3000000"#,
        r#"ip_allocation_period_count{allocateType="normal",success="true"} 1"#,
        r#"leader_election_master_status{name="hybridnet-manager-election"} 1"#,
        "# TYPE process_resident_memory_bytes gauge",
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "{line} is missing in\n{page}"
        );
    }
    assert!(!page.contains(r#"ipFamily="dualstack",usageType="total""#));
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn what_is_deleted_is_no_longer_shown() {
    let metrics = Metrics::default();
    metrics.set_network_usage("n", Usage::default(), Usage::default(), 0);
    metrics.set_subnet_usage("n", "s", Usage::default());

    metrics.remove_network("n");
    metrics.remove_subnet("n", "s");

    assert!(!metrics.encode().unwrap().contains("networkName"));
}
