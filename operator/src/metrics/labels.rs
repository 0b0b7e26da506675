//! The labels of the metrics.

use prometheus_client::encoding::EncodeLabelSet;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(
    non_snake_case,
    reason = "the field names are the label names of the Go project"
)]
pub(super) struct NetworkUsageLabels {
    pub networkName: String,
    pub ipFamily: &'static str,
    pub usageType: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(
    non_snake_case,
    reason = "the field names are the label names of the Go project"
)]
pub(super) struct SubnetUsageLabels {
    pub subnetName: String,
    pub networkName: String,
    pub usageType: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct NameLabel {
    pub name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub verb: String,
    pub code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ControllerLabel {
    pub controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AllocationLabels {
    pub allocation: &'static str,
    pub success: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct NetworkLabel {
    pub network: String,
}
