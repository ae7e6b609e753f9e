//! The kernels on a GPU: compiled by NVRTC, which torch brings, when the first of them is needed, and launched by the
//! driver on libtorch's stream. Both libraries are opened and not linked: the program runs where there is neither.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use tch::{Device, Tensor};

use super::argument::Argument;
use crate::library;

const SOURCE: &str = include_str!("kernels.cu");

const NAMES: [&CStr; 11] = [
    c"rms_norm",
    c"rms_norm_backward",
    c"gated",
    c"gated_backward",
    c"rope",
    c"dropout",
    c"nf4",
    c"take_up",
    c"attend_held",
    c"head_statistics",
    c"head_gradient",
];

/// What runs the kernels.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Gpu(&'static Gpu),
    /// This processor, for tests of the formulas.
    #[cfg(test)]
    Cpu,
}

impl Target {
    /// Where a tensor lies, if kernels run there.
    pub(super) fn of(tensor: &Tensor) -> Option<Self> {
        match tensor.device() {
            Device::Cuda(index) => gpu(index).ok().map(Self::Gpu),
            #[cfg(test)]
            Device::Cpu if on_cpu::TESTED.get() => Some(Self::Cpu),
            _ => None,
        }
    }

    /// # Panics
    /// If the driver refuses, as tch's operators do.
    pub(super) fn launch(self, kernel: &'static str, blocks: u32, threads: u32, arguments: &[Argument]) {
        let mut places: Vec<*mut c_void> = arguments.iter().map(Argument::place).collect();
        match self {
            Self::Gpu(gpu) => gpu.launch(kernel, blocks, threads, &mut places),
            #[cfg(test)]
            Self::Cpu => on_cpu::launch(kernel, blocks, &mut places),
        }
    }
}

/// Whether the kernels are compiled for this GPU, and for what; else why not.
pub(crate) fn compiled(index: usize) -> Result<String, String> {
    gpu(index).map(|gpu| gpu.architecture.clone()).map_err(str::to_owned)
}

/// Bytes of a GPU's memory that nobody holds.
pub(crate) fn free_bytes(index: usize) -> Option<u64> {
    let gpu = gpu(index).ok()?;
    let (mut free, mut total) = (0_usize, 0_usize);
    // SAFETY: fills in two numbers.
    let status = unsafe {
        (gpu.set_context)(gpu.context);
        (gpu.memory)(&raw mut free, &raw mut total)
    };
    (status == 0).then_some(free as u64)
}

pub(super) type Status = c_int;
pub(super) type Handle = *mut c_void;
type Launch = unsafe extern "C" fn(
    function: Handle,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared: c_uint,
    stream: Handle,
    arguments: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> Status;

type Memory = unsafe extern "C" fn(free: *mut usize, total: *mut usize) -> Status;

/// One GPU's kernels.
pub(super) struct Gpu {
    architecture: String,
    context: Handle,
    functions: [Handle; NAMES.len()],
    device: c_int,
    set_context: unsafe extern "C" fn(Handle) -> Status,
    launch: Launch,
    memory: Memory,
    /// Whether all work is done that a stream was given.
    pub(super) query: unsafe extern "C" fn(stream: Handle) -> Status,
    bus: unsafe extern "C" fn(into: *mut c_char, length: c_int, device: c_int) -> Status,
}

// SAFETY: the driver's handles are the process's, and its functions may be called from any thread.
unsafe impl Send for Gpu {}
// SAFETY: as above.
unsafe impl Sync for Gpu {}

impl Gpu {
    /// Makes it the one that this thread's calls are about.
    pub(super) fn enter(&self) -> Result<(), String> {
        // SAFETY: the context that libtorch computes in, which lives as long as the process.
        checked("cuCtxSetCurrent", unsafe { (self.set_context)(self.context) })
    }

    /// Where it is plugged in.
    pub(super) fn bus(&self) -> Result<String, String> {
        let mut text = [0; 32];
        // SAFETY: fills in a text of at most so many bytes.
        let status = unsafe { (self.bus)(text.as_mut_ptr(), text.len() as c_int, self.device) };
        checked("cuDeviceGetPCIBusId", status)?;
        // SAFETY: it ends with a zero.
        Ok(unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned())
    }

    fn launch(&self, kernel: &str, blocks: u32, threads: u32, arguments: &mut [*mut c_void]) {
        let at = NAMES.iter().position(|name| name.to_bytes() == kernel.as_bytes()).expect("a kernel's name");
        // SAFETY: the arguments are those that the kernel has, and live through the call; the tensors they point to live
        // until the work is done, for libtorch gives their memory to what follows on the same stream.
        let status = unsafe {
            (self.set_context)(self.context);
            let launch = self.launch;
            let arguments = arguments.as_mut_ptr();
            launch(self.functions[at], blocks, 1, 1, threads, 1, 1, 0, null_mut(), arguments, null_mut())
        };
        assert!(status == 0, "CUDA refuses the kernel {kernel}: error {status}");
    }
}

/// The kernels of the one GPU that this process computes on.
pub(super) fn gpu(index: usize) -> Result<&'static Gpu, &'static str> {
    static GPU: OnceLock<(usize, Result<Gpu, String>)> = OnceLock::new();
    let (first, gpu) = GPU.get_or_init(|| (index, load(index)));
    if *first != index {
        return Err("this process computes on another GPU");
    }
    gpu.as_ref().map_err(String::as_str)
}

/// An opened library.
pub(super) struct Library(Handle, &'static str);

impl Library {
    /// The first of these that is there.
    pub(super) fn open(names: &[&str], what: &'static str) -> Result<Self, String> {
        let handle = names.iter().find_map(|name| library::open(&CString::new(*name).ok()?).ok());
        handle.map(|handle| Self(handle, what)).ok_or_else(|| format!("{what} is not there"))
    }

    /// # Safety
    /// `F` is the function's type.
    pub(super) unsafe fn function<F: Copy>(&self, name: &CStr) -> Result<F, String> {
        // SAFETY: a handle of an open library and a name.
        let found = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if found.is_null() {
            return Err(format!("{} has no {}", self.1, name.to_string_lossy()));
        }
        // SAFETY: a function's address, of the type that the caller answers for.
        Ok(unsafe { std::mem::transmute_copy::<Handle, F>(&found) })
    }
}

fn checked(what: &str, status: Status) -> Result<(), String> {
    if status == 0 { Ok(()) } else { Err(format!("{what}: error {status}")) }
}

fn load(index: usize) -> Result<Gpu, String> {
    let driver = Library::open(&["libcuda.so.1"], "CUDA's driver")?;
    // SAFETY: the types are those of CUDA's headers.
    unsafe {
        let get_device: unsafe extern "C" fn(*mut c_int, c_int) -> Status =
            driver.function(c"cuDeviceGet")?;
        let get_attribute: unsafe extern "C" fn(*mut c_int, c_int, c_int) -> Status =
            driver.function(c"cuDeviceGetAttribute")?;
        let retain: unsafe extern "C" fn(*mut Handle, c_int) -> Status =
            driver.function(c"cuDevicePrimaryCtxRetain")?;
        let set_context: unsafe extern "C" fn(Handle) -> Status = driver.function(c"cuCtxSetCurrent")?;
        let load_module: unsafe extern "C" fn(*mut Handle, *const c_void) -> Status =
            driver.function(c"cuModuleLoadData")?;
        let get_function: unsafe extern "C" fn(*mut Handle, Handle, *const c_char) -> Status =
            driver.function(c"cuModuleGetFunction")?;

        let (mut device, mut context, mut version) = (0, null_mut(), [0; 2]);
        checked("cuDeviceGet", get_device(&raw mut device, index as c_int))?;
        for (into, attribute) in version.iter_mut().zip([75, 76]) {
            checked("cuDeviceGetAttribute", get_attribute(into, attribute, device))?;
        }
        // The context that libtorch computes in.
        checked("cuDevicePrimaryCtxRetain", retain(&raw mut context, device))?;
        checked("cuCtxSetCurrent", set_context(context))?;
        let architecture = format!("sm_{}{}", version[0], version[1]);
        let program = compile(&architecture)?;
        let mut module = null_mut();
        checked("cuModuleLoadData", load_module(&raw mut module, program.as_ptr().cast()))?;
        let mut functions = [null_mut(); NAMES.len()];
        for (into, name) in functions.iter_mut().zip(NAMES) {
            checked("cuModuleGetFunction", get_function(into, module, name.as_ptr()))?;
        }
        let launch = driver.function(c"cuLaunchKernel")?;
        let memory = driver.function(c"cuMemGetInfo_v2")?;
        let query = driver.function(c"cuStreamQuery")?;
        let bus = driver.function(c"cuDeviceGetPCIBusId")?;
        Ok(Gpu { architecture, context, functions, device, set_context, launch, memory, query, bus })
    }
}

type Create = unsafe extern "C" fn(
    *mut Handle,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> Status;
type Size = unsafe extern "C" fn(program: Handle, bytes: *mut usize) -> Status;
type Fill = unsafe extern "C" fn(program: Handle, into: *mut c_char) -> Status;

/// Machine code for a GPU's architecture.
pub(super) fn compile(architecture: &str) -> Result<Vec<u8>, String> {
    // Beside libtorch lies a library that brings NVRTC, wherever Python's packages put it.
    let beside = library::folder().map(|folder| folder.join("libcaffe2_nvrtc.so"));
    let names: Vec<&str> = beside
        .iter()
        .filter_map(|path| path.to_str())
        .chain(["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"])
        .collect();
    let library = Library::open(&names, "NVRTC")?;
    let option = CString::new(format!("--gpu-architecture={architecture}")).expect("no zero in it");
    let source = CString::new(SOURCE).expect("no zero in it");
    // SAFETY: the types are those of NVRTC's header; strings and buffers live through the calls.
    unsafe {
        let create: Create = library.function(c"nvrtcCreateProgram")?;
        let destroy: unsafe extern "C" fn(*mut Handle) -> Status =
            library.function(c"nvrtcDestroyProgram")?;
        let compile: unsafe extern "C" fn(Handle, c_int, *const *const c_char) -> Status =
            library.function(c"nvrtcCompileProgram")?;
        let mut program = null_mut();
        checked(
            "nvrtcCreateProgram",
            create(&raw mut program, source.as_ptr(), c"kernels.cu".as_ptr(), 0, null(), null()),
        )?;
        let status = compile(program, 1, [option.as_ptr()].as_ptr());
        let (size, fill): (Size, Fill) = if status == 0 {
            (library.function(c"nvrtcGetCUBINSize")?, library.function(c"nvrtcGetCUBIN")?)
        } else {
            (library.function(c"nvrtcGetProgramLogSize")?, library.function(c"nvrtcGetProgramLog")?)
        };
        let mut bytes = 0;
        size(program, &raw mut bytes);
        let mut text = vec![0_u8; bytes];
        fill(program, text.as_mut_ptr().cast());
        destroy(&raw mut program);
        if status == 0 {
            return Ok(text);
        }
        let log = String::from_utf8_lossy(&text);
        let first = log.trim_end_matches('\0').lines().find(|line| line.contains("error"));
        Err(format!("NVRTC for {architecture}: {}", first.unwrap_or("no machine code")))
    }
}

/// The kernels compiled for this processor.
#[cfg(test)]
pub(super) mod on_cpu {
    use std::cell::Cell;
    use std::ffi::{CString, c_char, c_void};

    thread_local! {
        /// Whether tensors on the CPU are given to the kernels.
        pub(crate) static TESTED: Cell<bool> = const { Cell::new(false) };
    }

    unsafe extern "C" {
        fn ts_cuda_on_cpu(name: *const c_char, blocks: u32, arguments: *const *mut c_void) -> bool;
    }

    pub(super) fn launch(kernel: &str, blocks: u32, arguments: &mut [*mut c_void]) {
        let name = CString::new(kernel).expect("no zero in it");
        // SAFETY: the arguments are those that the kernel has.
        assert!(unsafe { ts_cuda_on_cpu(name.as_ptr(), blocks, arguments.as_ptr()) }, "no kernel {kernel}");
    }
}
