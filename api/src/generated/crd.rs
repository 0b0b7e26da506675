//! The custom resource definitions, as permissive as those of the original: the API server validates a whole
//! object at every change of its status, so a schema must never refuse what is stored (control-plane spec 1.1).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{
    IpInstance, Network, NodeInfo, RemoteCluster, RemoteEndpointSlice, RemoteSubnet, RemoteVtep, Subnet,
};

/// All definitions.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let own = [Network::crd(), Subnet::crd(), IpInstance::crd(), NodeInfo::crd()];
    let copies = [
        RemoteCluster::crd(),
        RemoteSubnet::crd(),
        RemoteVtep::crd(),
        RemoteEndpointSlice::crd(),
    ];
    let copies = copies
        .into_iter()
        .map(|definition| each_schema(definition, unruled));
    own.into_iter().chain(copies).map(permissive).collect()
}

fn permissive(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let names = &mut definition.spec.names;
    names.list_kind = Some(format!("{}List", names.kind));
    each_schema(definition, |schema| {
        schema.description = schema
            .properties
            .as_ref()
            .and_then(|all| all.get("spec")?.description.clone());
        each_part(schema, &loosen);
    })
}

fn each_schema(
    mut definition: CustomResourceDefinition,
    change: impl Fn(&mut JSONSchemaProps),
) -> CustomResourceDefinition {
    let validations = definition.spec.versions.iter_mut();
    let schemas = validations.filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    schemas.for_each(change);
    definition
}

// What another cluster has taken is not judged again: a copy may become anything that its original became.
fn unruled(schema: &mut JSONSchemaProps) {
    each_part(schema, &|part| part.x_kubernetes_validations = None);
}

// Without `nullable` the API server drops a null that the original writes for an absent value; with a
// `default` it would write values that nobody asked for.
fn loosen(part: &mut JSONSchemaProps) {
    part.nullable = None;
    part.default = None;
}

fn each_part(schema: &mut JSONSchemaProps, change: &dyn Fn(&mut JSONSchemaProps)) {
    change(schema);
    for property in schema.properties.iter_mut().flat_map(|all| all.values_mut()) {
        each_part(property, change);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        each_part(items, change);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        each_part(values, change);
    }
}

#[cfg(test)]
mod tests;
