#!/bin/sh
# Functions of Cranelift's calling convention `tail` preserve registers for their callers on x86-64.
#
# Expected: a function that ends by a tail call cannot restore registers afterwards, so a convention made for tail calls has
# none that a callee preserves, as in LLVM, and as Cranelift's had at first (Wasmtime's pull request 6608, changed by 8246).
# Seen with cranelift-codegen 0.135.0: a value that is needed after a call of a `tail` function stays in r12, and the
# function saves r12 at its start and restores it at its end. Who unwinds such frames, or leaves them and enters them
# again, has to restore rbx and r12 to r15.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir src
cat > Cargo.toml <<'END_OF_FILE'
[package]
name = "tail"
version = "0.1.0"
edition = "2024"
[dependencies]
cranelift-codegen = { version = "=0.135.0", default-features = false, features = ["std", "unwind", "x86"] }
cranelift-frontend = { version = "=0.135.0", default-features = false, features = ["std"] }
END_OF_FILE
cat > src/main.rs <<'END_OF_FILE'
use cranelift_codegen::ir::{AbiParam, ExtFuncData, ExternalName, Function, InstBuilder, Signature, UserExternalName, UserFuncName, types};
use cranelift_codegen::isa::{CallConv, lookup_by_name};
use cranelift_codegen::{Context, control::ControlPlane, settings};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

fn main() {
    let isa = lookup_by_name("x86_64-unknown-linux-gnu").unwrap();
    let isa = isa.finish(settings::Flags::new(settings::builder())).unwrap();
    // fn(i64) -> i64 that calls a function without parameters and returns its own parameter.
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.push(AbiParam::new(types::I64));
    signature.returns.push(AbiParam::new(types::I64));
    let mut func = Function::with_name_signature(UserFuncName::user(0, 0), signature);
    let mut context = FunctionBuilderContext::new();
    let mut b = FunctionBuilder::new(&mut func, &mut context);
    let block = b.create_block();
    b.append_block_params_for_function_params(block);
    b.switch_to_block(block);
    b.seal_block(block);
    let kept = b.block_params(block)[0];
    let callee = b.import_signature(Signature::new(CallConv::Tail));
    let name = b.func.declare_imported_user_function(UserExternalName::new(0, 1));
    let callee = b.import_function(ExtFuncData { name: ExternalName::user(name), signature: callee, colocated: false, patchable: false });
    b.ins().call(callee, &[]);
    b.ins().return_(&[kept]);
    b.finalize(isa.frontend_config());
    let mut context = Context::for_function(func);
    context.want_disasm = true;
    let code = context.compile(&*isa, &mut ControlPlane::default()).unwrap();
    println!("{}", code.vcode.as_ref().unwrap());
}
END_OF_FILE
cargo run --quiet > code.txt
cat code.txt
grep -q 'movq *%rdi, %r12' code.txt
grep -q 'movq *%r12, %rax' code.txt
