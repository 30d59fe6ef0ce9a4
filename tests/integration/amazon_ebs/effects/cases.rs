//! The builds that show what the options do. Each shows as many as go together.

mod access;
mod image;
mod machine;

use serde_json::{Value as Json, json};

use super::{Case, table};
use crate::amazon_ebs::bed::Bed;
use crate::amazon_ebs::proxy::Fate;

/// What is there before the builds.
struct Scene {
    /// The id of the AMI that builds start from.
    source: String,
    /// Two subnets of the default VPC.
    subnets: [String; 2],
    vpc: String,
    /// A security group.
    group: String,
}

/// The name of an AMI that is there, with a snapshot.
const OLD: &str = "old";

impl Scene {
    async fn of(bed: &Bed) -> Self {
        let ec2 = bed.ec2("us-east-1");
        let images = ec2.describe_images().owners("099720109477").send().await.unwrap();
        let source = images.images()[0].image_id().unwrap().to_owned();
        let subnets = ec2.describe_subnets().send().await.unwrap();
        let [first, second, ..] = subnets.subnets() else { panic!("two subnets") };
        let vpc = first.vpc_id().unwrap().to_owned();
        let subnets = [first, second].map(|subnet| subnet.subnet_id().unwrap().to_owned());
        let group = ec2.create_security_group().group_name("mine").description("mine");
        let group = group.send().await.unwrap().group_id.unwrap();
        bed.image("us-east-1", OLD).await;
        Self { source, subnets, vpc, group }
    }
}

/// All of them.
pub(super) async fn all(bed: &Bed) -> Vec<Case> {
    let scene = Scene::of(bed).await;
    let mut all = access::cases();
    all.extend(machine::cases(&scene));
    all.extend(image::cases(&scene));
    all
}

/// A build with these options, which does this.
fn case(options: Json, shows: &str) -> Case {
    let rule = Box::new(|_: &str, _| Fate::Passes);
    Case { options, rule, custom_endpoint: false, shows: table(shows) }
}

/// The same, without a connection to the machine.
fn unconnected(mut options: Json, shows: &str) -> Case {
    options["communicator"] = json!("none");
    case(options, shows)
}

impl Case {
    fn with(self, rule: impl Fn(&str, usize) -> Fate + Send + Sync + 'static) -> Self {
        Self { rule: Box::new(rule), ..self }
    }

    /// The build ends when its machine is asked for.
    fn without_machine(self) -> Self {
        self.with(|action, _| match action {
            "RunInstances" => Fate::Refused("VcpuLimitExceeded"),
            _ => Fate::Passes,
        })
    }
}
