//! Both template languages: validate, inspect, the tutorial.
