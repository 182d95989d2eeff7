// Vectors of numbers and small matrix products on them, for any processor.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

namespace seqbelt {

// ---- vectors: the compiler's own vector types, so that any processor will do -----------------

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kAccumulators = 24;  // of 32 registers
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kAccumulators = 12;  // of 16 registers
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16, kAccumulators = 24;
#else
constexpr int kVectorBytes = 16, kAccumulators = 12;
#endif

template <class T> struct VectorOf { typedef T type __attribute__((vector_size(kVectorBytes))); };
template <class T> using Vector = typename VectorOf<T>::type;
template <class T> constexpr int kLanes = kVectorBytes / sizeof(T);
#define ALWAYS_INLINE inline __attribute__((always_inline))

// The last vector of a row may be partly filled: `count` lanes are read or written, at most all.
template <class T> ALWAYS_INLINE Vector<T> load(const T* from, int64_t count = kLanes<T>) {
  Vector<T> value{};
  if (count >= kLanes<T>) std::memcpy(&value, from, sizeof(value));
  else for (int64_t lane = 0; lane < count; lane++) value[lane] = from[lane];
  return value;
}

template <class T>
ALWAYS_INLINE void store(T* to, Vector<T> value, int64_t count = kLanes<T>) {
  if (count >= kLanes<T>) std::memcpy(to, &value, sizeof(value));
  else for (int64_t lane = 0; lane < count; lane++) to[lane] = value[lane];
}

// exp(x) = 2^n * exp(r) with n = round(x / ln 2); relative error below 2e-7, NaN stays NaN.
ALWAYS_INLINE Vector<float> exponential(Vector<float> x) {
  typedef int32_t Bits __attribute__((vector_size(kVectorBytes)));
  const Vector<float> zero{}, low = zero - 87.f, high = zero + 88.f;
  x = x < low ? low : x;
  x = x > high ? high : x;
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the mantissa.
  const Vector<float> magic = zero + 12582912.f, shifted = x * 1.44269504f + magic;
  const Vector<float> n = shifted - magic;
  const Vector<float> r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vector<float> p = zero + 1.f / 720;
  for (float coefficient : {1.f / 120, 1.f / 24, 1.f / 6, .5f, 1.f, 1.f}) p = p * r + coefficient;
  return (Vector<float>)((Bits)p + (((Bits)shifted - (Bits)magic) << 23));
}

// float64 serves to check gradients: exact rather than fast.
ALWAYS_INLINE Vector<double> exponential(Vector<double> x) {
  for (int lane = 0; lane < kLanes<double>; lane++) x[lane] = std::exp(x[lane]);
  return x;
}

template <class V> ALWAYS_INLINE V sigmoid(V x) { return 1 / (1 + exponential(-x)); }
template <class V> ALWAYS_INLINE V hyperbolic_tangent(V x) {
  return 1 - 2 / (1 + exponential(x + x));
}

// ---- small matrix products -------------------------------------------------------------------

// A weight matrix cut into panels, each of which yields `Gates * Columns` vectors of a product:
// for every gate the same `Columns` vectors of units. Zeros fill up the last panel.
template <class T, int Gates, int Columns> struct Panels {
  static constexpr int vectors = Gates * Columns;
  int64_t depth, count;
  std::vector<T> data;

  // Input k weighs weight[g * gate_stride + u * unit_stride + k * stride] in unit u of gate g.
  Panels(const T* weight, int64_t depth, int64_t units, int64_t gate_stride, int64_t unit_stride,
         int64_t stride)
      : depth(depth), count((units + Columns * kLanes<T> - 1) / (Columns * kLanes<T>)),
        data(count * depth * vectors * kLanes<T>) {
    constexpr int64_t width = Columns * kLanes<T>;
    T* to = data.data();
    for (int64_t unit = 0; unit < units; unit += width)
      for (int64_t k = 0; k < depth; k++)
        for (int gate = 0; gate < Gates; gate++, to += width)
          for (int64_t lane = 0; lane < std::min(width, units - unit); lane++)
            to[lane] = weight[gate * gate_stride + (unit + lane) * unit_stride + k * stride];
  }
  const T* panel(int64_t index) const { return data.data() + index * depth * vectors * kLanes<T>; }
};

// sums[m] += left[m] * panel, for `Rows` rows of `depth` values.
template <class T, int Rows, int Vectors>
ALWAYS_INLINE void multiply(Vector<T> (&sums)[Rows][Vectors], const T* left, int64_t left_stride,
                            const T* panel, int64_t depth) {
  for (int64_t k = 0; k < depth; k++) {
    Vector<T> weights[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++) weights[v] = load(panel + (k * Vectors + v) * kLanes<T>);
#pragma GCC unroll 8
    for (int m = 0; m < Rows; m++) {
      const T factor = left[m * left_stride + k];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; v++) sums[m][v] += factor * weights[v];
    }
  }
}

template <int Rows, class Body> ALWAYS_INLINE void with_rows(int64_t rows, const Body& body) {
  if constexpr (Rows > 0) {
    if (rows == Rows) body(std::integral_constant<int, Rows>());
    else with_rows<Rows - 1>(rows, body);
  }
}

// Calls body(first row, number of rows as a constant) for blocks that fit into the registers and
// are as equal as possible, because a block of one row uses the processor badly.
template <int Vectors, class Body> ALWAYS_INLINE void for_blocks(int64_t rows, const Body& body) {
  constexpr int largest = kAccumulators / Vectors;
  const int64_t blocks = (rows + largest - 1) / largest;
  for (int64_t block = 0, first = 0; block < blocks; block++) {
    const int64_t size = rows / blocks + (block < rows % blocks);
    with_rows<largest>(size, [&](auto constant) { body(first, constant); });
    first += size;
  }
}

}  // namespace seqbelt
