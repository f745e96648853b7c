//! What can go wrong between a GPU program and its results.

/// Why a session could not be made or run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// There is no GPU and no software stand-in.
    #[error(
        "no GPU adapter was found ({0}); install a Vulkan driver (on Debian or Ubuntu `apt-get install mesa-vulkan-drivers libvulkan1` brings one that \
         runs on the CPU), or choose the native backend"
    )]
    NoAdapter(String),
    /// The adapter refuses a device.
    #[error("the adapter `{adapter}` gives no device: {reason}; choose the native backend, or another adapter with WGPU_ADAPTER_NAME")]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// What it answered.
        reason: String,
    },
    /// No adapter has the name asked for.
    #[error("no adapter has `{wanted}` in its name (WGPU_ADAPTER_NAME); there are: {found}")]
    NoSuchAdapter {
        /// The name asked for.
        wanted: String,
        /// The names there are.
        found: String,
    },
    /// The program needs more than the device has.
    #[error("the program does not fit the adapter `{adapter}`: {what}; choose the native backend")]
    TooLarge {
        /// The adapter's name.
        adapter: String,
        /// Which limit.
        what: String,
    },
    /// The program needs what this runtime has not.
    #[error("the GPU program needs `{feature}`, which is not there; build the bundle again, or choose the native backend")]
    Lacks {
        /// The feature.
        feature: String,
    },
    /// The program is not one that the compiler makes.
    #[error("the GPU program is damaged: {0}; build the bundle again")]
    BadProgram(String),
    /// The device's compiler refused a shader or pipeline, or the program does not fit it.
    #[error("the device refused `{kernel}`: {reason}")]
    Refused {
        /// The kernel.
        kernel: String,
        /// The device's answer.
        reason: String,
    },
    /// Wrong inputs or symbols.
    #[error("{0}")]
    BadArguments(String),
    /// The device was lost or failed in a run.
    #[error("the GPU failed while it ran: {0}; make a new session, and if it comes again use the native backend")]
    Failed(String),
}
