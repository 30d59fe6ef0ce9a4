//! The options of the hardware under the machine: where it is placed, what is reserved for it, what
//! it may use.

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    CapacityReservationPreference, CapacityReservationSpecification, CapacityReservationTarget,
    CreditSpecificationRequest, EnclaveOptionsRequest, LicenseConfigurationRequest, Placement,
    Tenancy as ApiTenancy,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::Check;

/// The hardware: placement, reserved capacity, credits, enclaves, licences.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HardwareOptions {
    /// Where the machine is placed.
    pub placement: PlacementOptions,
    /// The same as `placement.tenancy`, as older templates write it.
    pub tenancy: Option<Tenancy>,
    /// Whether capacity that was reserved may be used: `open` or `none`, the default.
    pub capacity_reservation_preference: Option<Preference>,
    /// The capacity reservation to use.
    pub capacity_reservation_id: String,
    /// The group of capacity reservations to use.
    pub capacity_reservation_group_arn: String,
    /// Whether the machine can run Nitro Enclaves.
    pub enable_nitro_enclave: bool,
    /// Whether a burstable machine (`t2`, `t3`, `t3a`, `t4g`) may use more CPU time than it has
    /// credits for, which costs extra.
    pub enable_unlimited_credits: bool,
    /// The same as `enable_unlimited_credits`, as older templates write it.
    pub enable_t2_unlimited: bool,
    /// Licence configurations, as licence managers want them.
    pub license_specifications: Vec<LicenseSpecification>,
}

/// Where a machine is placed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PlacementOptions {
    /// Who shares the hardware: `default`, `dedicated` or `host`.
    pub tenancy: Option<Tenancy>,
    /// The dedicated host.
    pub host_id: String,
    /// The group of dedicated hosts.
    pub host_resource_group_arn: String,
}

/// Who shares the hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tenancy {
    /// Anybody.
    Default,
    /// Nobody.
    Dedicated,
    /// Nobody, and it is one of the account's hosts.
    Host,
}

/// Whether reserved capacity may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preference {
    /// It may, where it fits.
    Open,
    /// It may not.
    None,
}

/// A licence.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LicenseSpecification {
    /// Which one.
    pub license_configuration_request: LicenseRequest,
}

/// A licence configuration.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LicenseRequest {
    /// Its ARN.
    pub license_configuration_arn: String,
}

/// The families of machines that earn CPU credits.
const BURSTABLE: [&str; 4] = ["t2", "t3", "t3a", "t4g"];

fn is_burstable(instance_type: &str) -> bool {
    instance_type.split_once('.').is_some_and(|(family, _)| BURSTABLE.contains(&family))
}

impl HardwareOptions {
    /// Reports what is wrong, also with the machine's type.
    pub fn check(&self, instance_type: &str, check: &mut Check<'_>) {
        self.check_placement(check);
        self.check_capacity(check);
        if self.is_unlimited() && !instance_type.is_empty() && !is_burstable(instance_type) {
            let family = BURSTABLE.join(", ");
            let cause = format!("only {family} have credits, and this is {instance_type}");
            check.error("enable_unlimited_credits", cause);
        }
        if self.enable_nitro_enclave && instance_type.starts_with('t') {
            let cause = format!("burstable machines such as {instance_type} have no enclaves");
            check.error("enable_nitro_enclave", cause);
        }
        for license in &self.license_specifications {
            if license.license_configuration_request.license_configuration_arn.is_empty() {
                check.missing("license_specifications", "say which: `license_configuration_arn`");
            }
        }
    }

    fn check_placement(&self, check: &mut Check<'_>) {
        let placement = &self.placement;
        if self.tenancy.is_some() && placement.tenancy.is_some() {
            check.error("tenancy", "give it only once, in `placement`");
        }
        if !placement.host_id.is_empty() && !placement.host_resource_group_arn.is_empty() {
            let cause = "give either a host or a group of hosts (`host_resource_group_arn`)";
            check.error("placement.host_id", cause);
        }
        let on_host =
            !placement.host_id.is_empty() || !placement.host_resource_group_arn.is_empty();
        if on_host && placement.tenancy.is_some_and(|tenancy| tenancy != Tenancy::Host) {
            check.error(
                "placement.tenancy",
                "a machine on a host of its own has the tenancy `host`",
            );
        }
    }

    fn check_capacity(&self, check: &mut Check<'_>) {
        let given = [
            ("capacity_reservation_preference", self.capacity_reservation_preference.is_some()),
            ("capacity_reservation_id", !self.capacity_reservation_id.is_empty()),
            ("capacity_reservation_group_arn", !self.capacity_reservation_group_arn.is_empty()),
        ];
        let given: Vec<_> =
            given.iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
        if let [first, second, ..] = given.as_slice() {
            check.error(second, format!("`{first}` is given too, and one of them must go"));
        }
    }

    fn is_unlimited(&self) -> bool {
        self.enable_unlimited_credits || self.enable_t2_unlimited
    }

    /// Adds all of this to the `request` for a machine of `instance_type` in `zone`.
    pub(super) fn ask_for(
        &self,
        request: RunInstancesFluentBuilder,
        instance_type: &str,
        zone: Option<&str>,
    ) -> RunInstancesFluentBuilder {
        let credits = if self.is_unlimited() { "unlimited" } else { "standard" };
        let credits = CreditSpecificationRequest::builder().cpu_credits(credits).build();
        let enclave = EnclaveOptionsRequest::builder().enabled(true).build();
        let licenses = self.license_specifications.iter().map(|license| {
            let arn = &license.license_configuration_request.license_configuration_arn;
            LicenseConfigurationRequest::builder().license_configuration_arn(arn).build()
        });
        let licenses = (!self.license_specifications.is_empty()).then(|| licenses.collect());
        request
            .set_placement(self.placement(zone))
            .set_credit_specification(is_burstable(instance_type).then_some(credits))
            .set_enclave_options(self.enable_nitro_enclave.then_some(enclave))
            .set_license_specifications(licenses)
            .capacity_reservation_specification(self.capacity())
    }

    fn placement(&self, zone: Option<&str>) -> Option<Placement> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let placement = &self.placement;
        let tenancy = placement.tenancy.or(self.tenancy).map(|tenancy| match tenancy {
            Tenancy::Default => ApiTenancy::Default,
            Tenancy::Dedicated => ApiTenancy::Dedicated,
            Tenancy::Host => ApiTenancy::Host,
        });
        let (host, group) = (given(&placement.host_id), given(&placement.host_resource_group_arn));
        let asked = zone.is_some() || tenancy.is_some() || host.is_some() || group.is_some();
        let request = Placement::builder()
            .set_availability_zone(zone.map(str::to_owned))
            .set_tenancy(tenancy)
            .set_host_id(host)
            .set_host_resource_group_arn(group);
        asked.then(|| request.build())
    }

    fn capacity(&self) -> CapacityReservationSpecification {
        let request = CapacityReservationSpecification::builder();
        let target = CapacityReservationTarget::builder();
        let (id, group) = (&self.capacity_reservation_id, &self.capacity_reservation_group_arn);
        match (id.as_str(), group.as_str(), self.capacity_reservation_preference) {
            ("", "", Some(Preference::Open)) => {
                request.capacity_reservation_preference(CapacityReservationPreference::Open).build()
            }
            ("", "", _) => {
                request.capacity_reservation_preference(CapacityReservationPreference::None).build()
            }
            ("", group, _) => {
                let target = target.capacity_reservation_resource_group_arn(group).build();
                request.capacity_reservation_target(target).build()
            }
            (id, _, _) => {
                let target = target.capacity_reservation_id(id).build();
                request.capacity_reservation_target(target).build()
            }
        }
    }
}
