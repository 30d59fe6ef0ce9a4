//! The options of the hardware under the machine: where it is placed, what is reserved for it, what
//! it may use.

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::builders::RequestLaunchTemplateDataBuilder;
use aws_sdk_ec2::types::{
    CapacityReservationPreference, CapacityReservationSpecification, CapacityReservationTarget,
    CreditSpecificationRequest, EnclaveOptionsRequest, LaunchTemplateLicenseConfigurationRequest,
    LaunchTemplatePlacementRequest, LicenseConfigurationRequest, Placement, Tenancy as ApiTenancy,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::Check;
use crate::diagnostic::code;

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
    /// Reports what is wrong, also with the types that the machine may have.
    pub fn check(&self, types: &[&str], check: &mut Check<'_>) {
        self.check_placement(check);
        self.check_capacity(check);
        if self.is_unlimited()
            && let Some(other) = types.iter().find(|kind| !is_burstable(kind))
        {
            let family = BURSTABLE.join(", ");
            let cause = format!("only {family} have credits, and this is {other}");
            check.error("enable_unlimited_credits", cause);
        }
        if self.enable_nitro_enclave
            && let Some(burstable) = types.iter().find(|kind| kind.starts_with('t'))
        {
            let cause = format!("burstable machines such as {burstable} have no enclaves");
            check.error("enable_nitro_enclave", cause);
        }
        if self.enable_t2_unlimited {
            let text = "`enable_t2_unlimited` is called `enable_unlimited_credits` now";
            check.warn(code::DEPRECATED_OPTION, "enable_t2_unlimited", text);
        }
        if self.tenancy.is_some() {
            let text = "`tenancy` is `placement.tenancy` now";
            check.warn(code::DEPRECATED_OPTION, "tenancy", text);
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

    /// Whether more CPU time than there are credits for may be used.
    pub(super) fn is_unlimited(&self) -> bool {
        self.enable_unlimited_credits || self.enable_t2_unlimited
    }

    /// Whether what the machine is to use is in one availability zone only.
    pub(super) fn is_in_one_place(&self) -> bool {
        !self.placement.host_id.is_empty() || !self.capacity_reservation_id.is_empty()
    }

    /// What EC2 does not give to spot instances, and whether it is asked for.
    pub(super) fn not_for_spot(&self) -> [(&'static str, bool); 7] {
        let reserves = self.capacity_reservation_preference == Some(Preference::Open);
        let placement = &self.placement;
        [
            ("enable_nitro_enclave", self.enable_nitro_enclave),
            ("capacity_reservation_preference", reserves),
            ("capacity_reservation_id", !self.capacity_reservation_id.is_empty()),
            ("capacity_reservation_group_arn", !self.capacity_reservation_group_arn.is_empty()),
            ("placement.tenancy", self.tenancy() == Some(ApiTenancy::Host)),
            ("placement.host_id", !placement.host_id.is_empty()),
            ("placement.host_resource_group_arn", !placement.host_resource_group_arn.is_empty()),
        ]
    }

    /// What a machine is started with beside its own parts, as ARNs call it.
    pub(super) fn parts(&self) -> impl Iterator<Item = &'static str> {
        let reserves = !self.capacity_reservation_id.is_empty()
            || !self.capacity_reservation_group_arn.is_empty();
        let on_host = !self.placement.host_id.is_empty()
            || !self.placement.host_resource_group_arn.is_empty();
        let parts = [("capacity-reservation", reserves), ("dedicated-host", on_host)];
        parts.into_iter().filter(|(_, is_used)| *is_used).map(|(part, _)| part)
    }

    fn credits(&self, types: &[&str]) -> Option<CreditSpecificationRequest> {
        let credits = if self.is_unlimited() { "unlimited" } else { "standard" };
        let credits = CreditSpecificationRequest::builder().cpu_credits(credits).build();
        // EC2 takes no word on credits for others.
        types.iter().all(|kind| is_burstable(kind)).then_some(credits)
    }

    fn licenses(&self) -> impl Iterator<Item = &str> {
        self.license_specifications
            .iter()
            .map(|license| license.license_configuration_request.license_configuration_arn.as_str())
    }

    /// Adds all of this to the `request` for a machine of `instance_type` in `zone`.
    pub(super) fn ask_for(
        &self,
        request: RunInstancesFluentBuilder,
        instance_type: &str,
        zone: Option<&str>,
    ) -> RunInstancesFluentBuilder {
        let enclave = EnclaveOptionsRequest::builder().enabled(true).build();
        let license =
            |arn| LicenseConfigurationRequest::builder().license_configuration_arn(arn).build();
        let licenses = (!self.license_specifications.is_empty()).then(|| self.licenses());
        request
            .set_placement(self.placement(zone))
            .set_credit_specification(self.credits(&[instance_type]))
            .set_enclave_options(self.enable_nitro_enclave.then_some(enclave))
            .set_license_specifications(licenses.map(|all| all.map(license).collect()))
            .capacity_reservation_specification(self.capacity())
    }

    /// Adds what spot instances can have of this to a launch template for `types`.
    pub(super) fn ask_for_spot(
        &self,
        request: RequestLaunchTemplateDataBuilder,
        types: &[&str],
    ) -> RequestLaunchTemplateDataBuilder {
        let license = |arn| {
            LaunchTemplateLicenseConfigurationRequest::builder()
                .license_configuration_arn(arn)
                .build()
        };
        let licenses = (!self.license_specifications.is_empty()).then(|| self.licenses());
        let placed = |tenancy| LaunchTemplatePlacementRequest::builder().tenancy(tenancy).build();
        request
            .set_placement(self.tenancy().map(placed))
            .set_credit_specification(self.credits(types))
            .set_license_specifications(licenses.map(|all| all.map(license).collect()))
    }

    fn tenancy(&self) -> Option<ApiTenancy> {
        self.placement.tenancy.or(self.tenancy).map(|tenancy| match tenancy {
            Tenancy::Default => ApiTenancy::Default,
            Tenancy::Dedicated => ApiTenancy::Dedicated,
            Tenancy::Host => ApiTenancy::Host,
        })
    }

    fn placement(&self, zone: Option<&str>) -> Option<Placement> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let placement = &self.placement;
        let tenancy = self.tenancy();
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
