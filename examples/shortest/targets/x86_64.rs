//! An executable without any library: for each image on standard input, a byte a pixel, a line with its class on
//! standard output.
#![no_std]
#![no_main]
mod model;

use core::arch::{asm, global_asm};
use model::{INPUT, OUTPUT, SCRATCH, WEIGHTS};

struct Memory {
    weights: [f32; WEIGHTS],
    scratch: [f32; SCRATCH],
    bytes: [u8; INPUT],
    x: [f32; INPUT],
    y: [f32; OUTPUT],
}

static mut MEMORY: Memory = Memory {
    weights: [0.0; WEIGHTS],
    scratch: [0.0; SCRATCH],
    bytes: [0; INPUT],
    x: [0.0; INPUT],
    y: [0.0; OUTPUT],
};

// The call makes the stack what a function expects.
global_asm!(".globl _start", "_start: call answer");

/// Reads (0) or writes (1) what is at a place.
unsafe fn system(call: isize, at: *mut u8, len: usize) -> isize {
    let done;
    asm!("syscall", inlateout("rax") call => done, in("rdi") call, in("rsi") at, in("rdx") len, out("rcx") _,
         out("r11") _);
    done
}

#[no_mangle]
unsafe extern "C" fn answer() -> ! {
    let m = &mut *(&raw mut MEMORY);
    model::decode(&mut m.weights);
    loop {
        let mut read = 0;
        while read < INPUT {
            let more = system(0, m.bytes.as_mut_ptr().wrapping_add(read), INPUT - read);
            if more <= 0 {
                asm!("syscall", in("rax") 60, in("rdi") 0, options(noreturn));
            }
            read += more as usize;
        }
        for (x, byte) in m.x.iter_mut().zip(&m.bytes) {
            *x = *byte as f32 / 255.0;
        }
        model::run(&m.weights, &mut m.scratch, &m.x, &mut m.y);
        let mut best = 0;
        for i in 1..OUTPUT {
            if m.y[i] > m.y[best] {
                best = i;
            }
        }
        // A digit of a checksum of the scores' bits, to compare machines by.
        #[cfg(feature = "bits")]
        {
            best = m.y.iter().fold(0, |sum: u32, y| (sum ^ y.to_bits()).wrapping_mul(16777619)) as usize % 10;
        }
        let mut line = [b'0' + best as u8, b'\n'];
        system(1, line.as_mut_ptr(), 2);
    }
}

#[no_mangle]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    asm!("rep stosb", inlateout("rcx") n => _, inlateout("rdi") to => _, in("al") byte as u8);
    to
}

#[no_mangle]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    asm!("rep movsb", inlateout("rcx") n => _, inlateout("rdi") to => _, inlateout("rsi") from => _);
    to
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
