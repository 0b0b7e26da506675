//! The custom resource definitions, as permissive as those of the original: the API server validates a whole
//! object at every change of its status, so a schema must never refuse what is stored (control-plane spec 1.1).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{IpInstance, Network, NodeInfo, Subnet};

/// All definitions.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let derived = [Network::crd(), Subnet::crd(), IpInstance::crd(), NodeInfo::crd()];
    derived.into_iter().map(permissive).collect()
}

fn permissive(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let names = &mut definition.spec.names;
    names.list_kind = Some(format!("{}List", names.kind));
    for version in &mut definition.spec.versions {
        let schema = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(schema) = schema {
            schema.description = schema
                .properties
                .as_ref()
                .and_then(|all| all.get("spec")?.description.clone());
            loosen(schema);
        }
    }
    definition
}

// Without `nullable` the API server drops a null that the original writes for an absent value; with a
// `default` it would write values that nobody asked for.
fn loosen(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.default = None;
    for property in schema.properties.iter_mut().flat_map(|all| all.values_mut()) {
        loosen(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        loosen(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        loosen(values);
    }
}

#[cfg(test)]
mod tests {
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
            ("Network", "networks", "network", "Cluster"),
            ("Subnet", "subnets", "subnet", "Cluster"),
            ("IPInstance", "ipinstances", "ipinstance", "Namespaced"),
            ("NodeInfo", "nodeinfoes", "nodeinfo", "Cluster"),
        ] {
            let definition = definition(kind);
            assert_eq!(
                definition.metadata.name,
                Some(format!("{name}.networking.alibaba.com"))
            );
            let spec = definition.spec;
            assert_eq!(spec.names.plural, name);
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

    #[test]
    fn columns_are_those_of_the_original_and_the_age() {
        let columns = |kind: &str| -> Vec<String> {
            let version = definition(kind).spec.versions.remove(0);
            version
                .additional_printer_columns
                .unwrap()
                .into_iter()
                .map(|column| column.name)
                .collect()
        };
        assert_eq!(
            columns("Network").join(" "),
            "NetID Type Mode V4Total V4Used V4Available LastAllocatedV4Subnet V6Total V6Used V6Available \
             LastAllocatedV6Subnet Age"
        );
        assert_eq!(
            columns("Subnet").join(" "),
            "Version CIDR Start End Gateway Total Used Available NetID Network Age"
        );
        assert_eq!(
            columns("IPInstance").join(" "),
            "IP Gateway PodName Node Subnet Network Age"
        );
        assert_eq!(columns("NodeInfo").join(" "), "VTEPIP VTEPMAC VTEPLOCALIPS Age");
    }

    fn walk<'a>(path: &str, schema: &'a JSONSchemaProps, visit: &mut impl FnMut(&str, &'a JSONSchemaProps)) {
        visit(path, schema);
        for (name, property) in schema.properties.iter().flatten() {
            walk(&format!("{path}.{name}"), property, visit);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
            walk(&format!("{path}[]"), items, visit);
        }
    }

    #[test]
    fn only_what_the_original_requires_is_required() {
        let mut required = Vec::new();
        for definition in definitions() {
            let schema = definition.spec.versions[0].schema.as_ref().unwrap();
            walk(
                &definition.spec.names.kind,
                schema.open_api_v3_schema.as_ref().unwrap(),
                &mut |path, schema| {
                    assert!(schema.nullable.is_none() && schema.default.is_none(), "{path}");
                    assert!(
                        schema.enum_.is_none() && schema.pattern.is_none() && schema.minimum.is_none(),
                        "{path}"
                    );
                    if !path.contains("conditions") {
                        required.extend(
                            schema
                                .required
                                .iter()
                                .flatten()
                                .map(|name| format!("{path}.{name}")),
                        );
                    }
                },
            );
        }
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
            ]
        );
    }

    #[test]
    fn rules_hold_without_a_webhook() {
        let mut rules = Vec::new();
        for definition in definitions() {
            let schema = definition.spec.versions[0].schema.as_ref().unwrap();
            walk(
                &definition.spec.names.kind,
                schema.open_api_v3_schema.as_ref().unwrap(),
                &mut |path, schema| {
                    for rule in schema.x_kubernetes_validations.iter().flatten() {
                        assert!(rule.message.is_some(), "{path}: {}", rule.rule);
                        rules.push(path.to_owned());
                    }
                },
            );
        }
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
}
