//! Real servers for the tests: sshd, moto; and the program under test.
