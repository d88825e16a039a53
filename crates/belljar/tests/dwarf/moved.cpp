// A program whose code is moved by a tool that copies the debug information as it is.
//
//   python3 -m ziglang c++ -target wasm32-freestanding -g -O1 -nostdlib -fno-sanitize=all \
//       -ffile-prefix-map=$PWD=. -Wl,--no-entry -Wl,--export=first -Wl,--export=last moved.cpp -o moved.wasm
//   npx --package binaryen@132.0.0 wasm-opt -g -O2 moved.wasm -o moved.opt.wasm
//
// No function calls `left_out`: the linker has its address as 0xffffffff.

extern "C" {

__attribute__((noinline)) int left_out(int n) {
    return n * 1000003 ^ 77; // left out
}

__attribute__((noinline)) int wasteful(int n) {
    volatile int sum = 0;
    for (int i = 0; i < n; i++)
        sum = sum + i * 3;
    return sum;
}

__attribute__((noinline)) int fails(int n) {
    if (n > 100)
        __builtin_trap(); // trap
    return n - 1;
}

int first(int n) {
    return wasteful(n) + fails(n); // call from first
}

int last(int n) {
    return fails(n * 2) * 5 + wasteful(n + 1); // call from last
}
}
