// The module that the tests of symbols ask about.
//
//   python3 -m ziglang c++ -target wasm32-freestanding -g -O1 -nostdlib -fno-sanitize=all \
//       -ffile-prefix-map=$PWD=. -Wl,--no-entry -Wl,--export=area_of shapes.cpp -o shapes.wasm
//
// The tests look for the lines that say `trap` and `call`.

namespace shapes {

struct Square {
    int side;

    inline __attribute__((always_inline)) int checked() const {
        if (side < 0)
            __builtin_trap(); // trap
        return side * side;
    }
};

__attribute__((noinline)) int area(const Square &square) {
    return square.checked() + 1; // call checked
}

} // namespace shapes

extern "C" int area_of(int side) {
    shapes::Square square{side};
    return shapes::area(square) * 2; // call area
}
