// Products by a processor's matrix unit: Intel's AMX, for operands in half precision.
#pragma once

#include "vectors.h"

#if defined(__AMX_BF16__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace seqbelt {

// Where there is no such unit it takes none of a product's steps.
constexpr int64_t kTileRows = 16;
template <class E, int Vectors> struct TileProduct {
  static int64_t depth(int64_t) { return 0; }
  void multiply(const E*, int64_t, const E*, int64_t, int64_t) {}
  Vector<E> sum(int64_t, int) const { return Vector<E>{}; }
};
template <class E> struct TileSetting {};

#if defined(__AMX_BF16__)
// Whether Linux lets this process use the unit's registers, which it must ask for.
inline bool may_use_tiles() {
  constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool granted = syscall(SYS_arch_prctl, request, tile_data) == 0;
  return granted;
}

// Sets the thread's tiles up: 16 rows of 64 bytes each.
template <> struct TileSetting<Half> {
  TileSetting() {
    if (!may_use_tiles()) return;
    struct { uint8_t palette = 1, start = 0, spare[14] = {}; uint16_t bytes[16] = {};
             uint8_t rows[16] = {}; } setting;
    std::fill_n(setting.bytes, 8, 64), std::fill_n(setting.rows, 8, kTileRows);
    asm volatile("" ::: "memory");  // the compiler does not know that tiles are read from memory
    _tile_loadconfig(&setting);
  }
  ~TileSetting() { if (may_use_tiles()) _tile_release(); }
};

// Sixteen rows of `left` times one panel: tiles 0 to 3 are sums, 4 is of the left side, 5 to 7 are
// of the right one, whose pairs lie as the unit wants them. A tile is 16 steps deep.
template <int Vectors> struct TileProduct<Half, Vectors> {
  static_assert(Vectors <= 4);
  alignas(64) float sums[Vectors][kTileRows][16];

  static int64_t depth(int64_t steps) { return may_use_tiles() ? steps / 16 * 16 : 0; }
  ALWAYS_INLINE void multiply(const Half* left, int64_t left_stride, const Half* right,
                              int64_t right_step, int64_t steps) {
    asm volatile("" ::: "memory");
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < steps; k += 16, left += 32, right += 16 * right_step) {
      _tile_loadd(4, left, 2 * left_stride);
      _tile_loadd(5, right, 2 * right_step);
      _tile_dpbf16ps(0, 4, 5);
      if constexpr (Vectors > 1) {
        _tile_loadd(6, right + 32, 2 * right_step);
        _tile_dpbf16ps(1, 4, 6);
      }
      if constexpr (Vectors > 2) {
        _tile_loadd(7, right + 64, 2 * right_step);
        _tile_dpbf16ps(2, 4, 7);
      }
      if constexpr (Vectors > 3) {
        _tile_loadd(5, right + 96, 2 * right_step);
        _tile_dpbf16ps(3, 4, 5);
      }
    }
    _tile_stored(0, sums[0], 64);
    if constexpr (Vectors > 1) _tile_stored(1, sums[1], 64);
    if constexpr (Vectors > 2) _tile_stored(2, sums[2], 64);
    if constexpr (Vectors > 3) _tile_stored(3, sums[3], 64);
    asm volatile("" ::: "memory");
  }
  Vector<float> sum(int64_t row, int v) const { return load(sums[v][row]); }
};
#endif

}  // namespace seqbelt
