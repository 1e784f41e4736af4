//! dev_server
