//! The price of a product is not looked up any more.

use super::{Change, Fixer, Types};

pub(super) const FIXER: Fixer = Fixer {
    name: "spot-price-auto-product",
    does: "`spot_price_auto_product` is removed from Amazon builders",
    change: Change::Builders(Types::Of(BUILDERS), |builder| {
        builder.remove("spot_price_auto_product");
    }),
};

const BUILDERS: &[&str] =
    &["amazon-ebs", "amazon-ebssurrogate", "amazon-ebsvolume", "amazon-instance"];
