//! What keeps this process's memory and files to itself.

/// Files that are made from now on are ours alone; no memory image is written when the process dies,
/// and other processes of the same user cannot look into it. Gives what could not be had.
pub(super) fn raise() -> Vec<String> {
    #[cfg_attr(not(unix), allow(unused_mut, reason = "elsewhere there is nothing to raise"))]
    let mut missing = Vec::new();
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit, umask};
        umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
            missing.push(format!("core dumps could not be switched off: {error}"));
        }
    }
    // The limit alone does not hold for a core that is piped into a program.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        missing.push(format!("the process could not be closed to debuggers: {error}"));
    }
    missing
}
