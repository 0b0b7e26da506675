use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;

use super::*;

fn definition(kind: &str) -> CustomResourceDefinition {
    definitions()
        .into_iter()
        .find(|definition| definition.spec.names.kind == kind)
        .unwrap()
}

#[test]
fn names_and_scopes_are_those_of_the_original() {
    for (kind, name, singular, scope) in [
        ("Network", "networks.networking", "network", "Cluster"),
        ("Subnet", "subnets.networking", "subnet", "Cluster"),
        ("IPInstance", "ipinstances.networking", "ipinstance", "Namespaced"),
        ("NodeInfo", "nodeinfoes.networking", "nodeinfo", "Cluster"),
        (
            "RemoteCluster",
            "remoteclusters.multicluster",
            "remotecluster",
            "Cluster",
        ),
        (
            "RemoteSubnet",
            "remotesubnets.multicluster",
            "remotesubnet",
            "Cluster",
        ),
        ("RemoteVtep", "remotevteps.multicluster", "remotevtep", "Cluster"),
        (
            "RemoteEndpointSlice",
            "remoteendpointslice.multicluster",
            "remoteendpointslice",
            "Cluster",
        ),
    ] {
        let definition = definition(kind);
        assert_eq!(definition.metadata.name, Some(format!("{name}.alibaba.com")));
        let spec = definition.spec;
        assert_eq!(
            format!("{}.{}", spec.names.plural, spec.group),
            format!("{name}.alibaba.com")
        );
        assert_eq!(spec.names.singular.as_deref(), Some(singular));
        assert_eq!(spec.names.list_kind, Some(format!("{kind}List")));
        assert_eq!(spec.scope, scope);
        let [version] = spec.versions.as_slice() else {
            panic!("one version")
        };
        assert!(version.served && version.storage && version.name == "v1");
        assert!(version.subresources.as_ref().unwrap().status.is_some());
    }
}

/// The columns of every look, and those of `-o wide`.
fn columns(kind: &str) -> (String, String) {
    let columns = definition(kind)
        .spec
        .versions
        .remove(0)
        .additional_printer_columns;
    let (wide, narrow): (Vec<_>, Vec<_>) = columns
        .unwrap()
        .into_iter()
        .partition(|column| column.priority.unwrap_or_default() > 0);
    let names = |columns: Vec<CustomResourceColumnDefinition>| {
        let names = columns.into_iter().map(|column| column.name);
        names.collect::<Vec<_>>().join(" ")
    };
    (names(narrow), names(wide))
}

#[test]
fn columns_are_those_of_the_original_and_the_age_and_more_when_asked_for() {
    for (kind, narrow, wide) in [
        (
            "Network",
            "NetID Type Mode V4Total V4Used V4Available LastAllocatedV4Subnet V6Total V6Used V6Available \
             LastAllocatedV6Subnet Age",
            "Ready Conflict Exhausted",
        ),
        (
            "Subnet",
            "Version CIDR Start End Gateway Total Used Available NetID Network Age",
            "Ready Conflict Exhausted Private LastAllocatedIP",
        ),
        (
            "IPInstance",
            "IP Gateway PodName Node Subnet Network Age",
            "MAC OwnerKind Owner",
        ),
        ("NodeInfo", "VTEPIP VTEPMAC VTEPLOCALIPS Age", ""),
        ("RemoteCluster", "APIEndpoint UUID State Age", ""),
        (
            "RemoteSubnet",
            "Version CIDR Start End Gateway NetworkType ClusterName LastModifyTime Age",
            "",
        ),
        ("RemoteVtep", "MAC IP NodeName ClusterName LastModifyTime Age", ""),
        (
            "RemoteEndpointSlice",
            "Service Namespace AddressType Cluster Age",
            "",
        ),
    ] {
        assert_eq!(columns(kind), (narrow.to_owned(), wide.to_owned()), "{kind}");
    }
}

/// Every part of every schema, with its path.
fn visit(mut look: impl FnMut(&str, &JSONSchemaProps)) {
    for definition in definitions() {
        let schema = definition.spec.versions[0].schema.as_ref().unwrap();
        let schema = schema.open_api_v3_schema.as_ref().unwrap();
        walk(&definition.spec.names.kind, schema, &mut look);
    }
}

fn walk(path: &str, schema: &JSONSchemaProps, look: &mut impl FnMut(&str, &JSONSchemaProps)) {
    look(path, schema);
    for (name, property) in schema.properties.iter().flatten() {
        walk(&format!("{path}.{name}"), property, look);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        walk(&format!("{path}[]"), items, look);
    }
}

#[test]
fn only_what_the_original_requires_is_required() {
    let mut required = Vec::new();
    visit(|path, schema| {
        assert!(schema.nullable.is_none() && schema.default.is_none(), "{path}");
        assert!(
            schema.enum_.is_none() && schema.pattern.is_none() && schema.minimum.is_none(),
            "{path}"
        );
        if !path.contains("conditions") {
            let names = schema.required.iter().flatten();
            required.extend(names.map(|name| format!("{path}.{name}")));
        }
    });
    assert_eq!(
        required,
        [
            "Network.spec",
            "Network.spec.config.bgpPeers[].address",
            "Network.spec.config.bgpPeers[].asn",
            "Subnet.spec",
            "Subnet.spec.network",
            "Subnet.spec.range",
            "Subnet.spec.range.cidr",
            "Subnet.spec.range.version",
            "IPInstance.spec",
            "IPInstance.spec.address",
            "IPInstance.spec.network",
            "IPInstance.spec.subnet",
            "IPInstance.spec.address.ip",
            "IPInstance.spec.address.mac",
            "IPInstance.spec.address.version",
            "NodeInfo.spec",
            "RemoteCluster.spec",
            "RemoteCluster.spec.apiEndpoint",
            "RemoteCluster.spec.credentialsSecretRef.name",
            "RemoteCluster.spec.credentialsSecretRef.namespace",
            "RemoteSubnet.spec",
            "RemoteSubnet.spec.range",
            "RemoteSubnet.spec.range.cidr",
            "RemoteSubnet.spec.range.version",
            "RemoteVtep.spec",
            "RemoteEndpointSlice.spec",
            "RemoteEndpointSlice.spec.addressType",
            "RemoteEndpointSlice.spec.remoteService",
            "RemoteEndpointSlice.spec.endpoints[].addresses",
            "RemoteEndpointSlice.spec.endpoints[].hints.forZones[].name",
            "RemoteEndpointSlice.spec.remoteService.cluster",
            "RemoteEndpointSlice.spec.remoteService.name",
            "RemoteEndpointSlice.spec.remoteService.namespace",
        ]
    );
}

#[test]
fn rules_hold_without_a_webhook_but_not_for_copies() {
    let mut rules = Vec::new();
    visit(|path, schema| {
        for rule in schema.x_kubernetes_validations.iter().flatten() {
            assert!(rule.message.is_some(), "{path}: {}", rule.rule);
            rules.push(path.to_owned());
        }
    });
    assert_eq!(
        rules,
        [
            "Network.spec",
            "Network.spec",
            "Network.spec",
            "Network.spec.mode",
            "Network.spec.type",
            "Subnet.spec.network",
            "Subnet.spec.range.cidr",
            "Subnet.spec.range.version",
            "Subnet.spec.range.version",
        ]
    );
}

#[test]
fn lists_that_are_sets_or_maps_say_so_as_in_the_original() {
    let mut lists = Vec::new();
    visit(|path, schema| {
        if let Some(list) = &schema.x_kubernetes_list_type
            && path.starts_with("Remote")
        {
            lists.push((
                path.to_owned(),
                list.clone(),
                schema.x_kubernetes_list_map_keys.clone(),
            ));
        }
    });
    let plain = |path: &str, list: &str| (path.to_owned(), list.to_owned(), None);
    assert_eq!(
        lists,
        [
            (
                "RemoteCluster.status.conditions".to_owned(),
                "map".to_owned(),
                Some(vec!["type".to_owned()])
            ),
            plain("RemoteEndpointSlice.spec.endpoints", "atomic"),
            plain("RemoteEndpointSlice.spec.endpoints[].addresses", "set"),
            plain("RemoteEndpointSlice.spec.endpoints[].hints.forZones", "atomic"),
            plain("RemoteEndpointSlice.spec.ports", "atomic"),
        ]
    );
    let mut bytes = Vec::new();
    visit(|path, schema| {
        if schema.format.as_deref() == Some("byte") {
            bytes.push(path.to_owned());
        }
    });
    assert_eq!(
        bytes,
        ["caData", "certData", "keyData"].map(|field| format!("RemoteCluster.spec.{field}"))
    );
}
