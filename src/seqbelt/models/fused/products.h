// Vectors of numbers and small matrix products on them, for any processor.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

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
#define ALWAYS_INLINE inline __attribute__((always_inline))

template <class T> struct VectorOf { typedef T type __attribute__((vector_size(kVectorBytes))); };
template <class T> using Vector = typename VectorOf<T>::type;
template <class T> constexpr int kLanes = kVectorBytes / sizeof(T);

inline int64_t round_up(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

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

// ---- operands: what products read; sums are kept in `Number<E>` -------------------------------

// Exact operands are numbers; one step of a product takes one from either side.
template <class E> struct OperandOf { typedef E Number; };
template <class E> using Number = typename OperandOf<E>::Number;
template <class E> constexpr int kPair = 1;
template <class T> ALWAYS_INLINE T broadcast(const T* from) { return *from; }
template <class T> ALWAYS_INLINE Vector<T> load_weights(const T* from) { return load(from); }
template <class T>
ALWAYS_INLINE Vector<T> multiply_add(T factor, Vector<T> weights, Vector<T> sum) {
  return sum + factor * weights;
}

#if defined(__AVX512BF16__)
// Half precision where the processor multiplies it: one step takes two operands from either side,
// so those of the right side lie in pairs, first and second for every lane. Sums are float32.
struct Half { uint16_t bits; };
template <> struct VectorOf<Half> : VectorOf<float> {};
template <> constexpr int kLanes<Half> = kLanes<float>;
template <> struct OperandOf<Half> { typedef float Number; };
template <> constexpr int kPair<Half> = 2;

ALWAYS_INLINE __m512i broadcast(const Half* from) {
  int32_t pair;
  std::memcpy(&pair, from, sizeof(pair));
  return _mm512_set1_epi32(pair);
}
ALWAYS_INLINE __m512i load_weights(const Half* from) { return _mm512_loadu_si512(from); }
ALWAYS_INLINE __m512 multiply_add(__m512i factor, __m512i weights, __m512 sum) {
  return _mm512_dpbf16_ps(sum, (__m512bh)factor, (__m512bh)weights);
}
ALWAYS_INLINE Vector<float> load(const Half* from) {
  const __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}
ALWAYS_INLINE void store(Half* to, Vector<float> value) {
  const __m256bh rounded = _mm512_cvtneps_pbh(value);
  std::memcpy(to, &rounded, sizeof(rounded));
}
#else
typedef float Half;  // no gain from rounding, so nothing is rounded
#endif

// A row of numbers as operands, filled up with zeros to whole vectors.
template <class E> void copy_row(const Number<E>* from, int64_t count, E* to) {
  for (int64_t i = 0; i < count; i += kLanes<E>) store(to + i, load(from + i, count - i));
}

// ---- small matrix products -------------------------------------------------------------------

// sums[m] += left[m] * right over `depth` steps. `left` has a stride from row to row and one from
// step to step, `right` holds `Vectors` vectors a step.
template <class E, int Rows, int Vectors>
ALWAYS_INLINE void multiply(Vector<E> (&sums)[Rows][Vectors], const E* left,
                            int64_t left_row, int64_t left_step, const E* right,
                            int64_t right_step, int64_t depth) {
  for (int64_t k = 0; k < depth; k++, left += left_step, right += right_step) {
    decltype(load_weights(right)) weights[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++)
      weights[v] = load_weights(right + v * kLanes<E> * kPair<E>);
#pragma GCC unroll 12
    for (int m = 0; m < Rows; m++) {
      const auto factor = broadcast(left + m * left_row);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; v++)
        sums[m][v] = multiply_add(factor, weights[v], sums[m][v]);
    }
  }
}

// A weight matrix cut into panels, each of which yields `gates * columns` vectors of a product:
// for every gate the same `columns` vectors of units. Zeros fill up the last panel.
template <class E> struct Panels {
  static constexpr int64_t lanes = kLanes<E>;
  int64_t count = 0, depth = 0, vectors = 0;  // depth: in steps of `kPair` inputs
  std::vector<E> data;

  // weight(g, u, k) is the weight of input k in unit u of gate g, for k < inputs and u < units.
  template <class Weight>
  Panels(int64_t gates, int64_t columns, int64_t units, int64_t inputs, const Weight& weight)
      : count(round_up(units, columns * lanes) / (columns * lanes)),
        depth(round_up(inputs, kPair<E>) / kPair<E>), vectors(gates * columns),
        data(count * depth * step()) {
    std::vector<Number<E>> line(lanes * kPair<E>);
    E* to = data.data();
    for (int64_t first = 0; first < units; first += columns * lanes)
      for (int64_t k = 0; k < inputs; k += kPair<E>)
        for (int64_t v = 0; v < vectors; v++, to += line.size()) {
          const int64_t unit = first + v % columns * lanes;
          for (int64_t i = 0; i < lanes * kPair<E>; i++) {
            const int64_t u = unit + i / kPair<E>, input = k + i % kPair<E>;
            line[i] = u < units && input < inputs ? weight(v / columns, u, input) : 0;
          }
          copy_row(line.data(), line.size(), to);
        }
  }
  Panels() = default;
  int64_t step() const { return vectors * lanes * kPair<E>; }
  const E* panel(int64_t index) const { return data.data() + index * depth * step(); }
};

template <int Count, class Body> ALWAYS_INLINE void with_constant(int64_t count, const Body& body) {
  if constexpr (Count > 0) {
    if (count == Count) body(std::integral_constant<int, Count>());
    else with_constant<Count - 1>(count, body);
  }
}

// Calls body(first row, number of rows as a constant) for blocks that fit into the registers and
// are as equal as possible, because a block of one row uses the processor badly.
template <int Vectors, class Body> ALWAYS_INLINE void for_blocks(int64_t rows, const Body& body) {
  constexpr int largest = kAccumulators / Vectors;
  const int64_t blocks = (rows + largest - 1) / largest;
  for (int64_t block = 0, first = 0; block < blocks; block++) {
    const int64_t size = rows / blocks + (block < rows % blocks);
    with_constant<largest>(size, [&](auto constant) { body(first, constant); });
    first += size;
  }
}

// result (rows, panels * Vectors vectors) = start + left (rows, depth) * weights, where `start` is
// what stood there, or the bias, if there is one.
template <int Vectors, class E>
void add_product(Number<E>* result, int64_t result_stride, const E* left, int64_t left_stride,
                 int64_t rows, const Panels<E>& weights,
                 const Panels<Number<E>>* bias = nullptr) {
  constexpr int lanes = kLanes<E>;
  for (int64_t panel = 0; panel < weights.count; panel++)
    for_blocks<Vectors>(rows, [&](int64_t first, auto constant) {
      constexpr int Rows = decltype(constant)::value;
      Number<E>* target = result + first * result_stride + panel * Vectors * lanes;
      Vector<E> sums[Rows][Vectors];
      for (int m = 0; m < Rows; m++)
        for (int v = 0; v < Vectors; v++)
          sums[m][v] = load((bias ? bias->panel(panel) : target + m * result_stride) + v * lanes);
      multiply(sums, left + first * left_stride, left_stride, int64_t(kPair<E>),
               weights.panel(panel), weights.step(), weights.depth);
      for (int m = 0; m < Rows; m++)
        for (int v = 0; v < Vectors; v++) store(target + m * result_stride + v * lanes, sums[m][v]);
    });
}

// Two rows of operands as pairs, the form that products over rows need; the second may be absent.
template <class E> void pair_rows(const E* first, const E* second, int64_t count, E* to) {
  for (int64_t i = 0; i < count; i++) {
    to[2 * i] = first[i];
    to[2 * i + 1] = second ? second[i] : E{};
  }
}

// A block of rows whose products over the rows are wanted: the gradients of weights.
template <class E> struct RowBlock {
  int64_t stride;
  std::vector<E> data, pairs;

  // A stride that is no power of two keeps rows apart in the cache.
  RowBlock(int64_t rows, int64_t width) : stride(width + 16), data((rows + 1) * stride) {}
  E* row(int64_t index) { return data.data() + index * stride; }

  // Afterwards `over_rows` may be used: one step of a product takes `kPair` rows.
  void prepare(int64_t rows) {
    if constexpr (kPair<E> == 2) {
      pairs.resize(round_up(rows, 2) * stride);
      for (int64_t r = 0; r < rows; r += 2)
        pair_rows(row(r), r + 1 < rows ? row(r + 1) : nullptr, stride, &pairs[r * stride]);
    }
  }
  const E* over_rows(int64_t column) const {
    return kPair<E> == 2 ? pairs.data() + 2 * column : data.data() + column;
  }
};

// result (height, width) += the transposed left block (rows, height) times right (rows, width).
// `result` has `kAccumulators` spare rows; `width` is whole vectors.
template <class E>
void add_outer_product(Number<E>* result, int64_t height, int64_t width, int64_t rows,
                       const E* left, int64_t left_stride, const E* right, int64_t right_stride) {
  constexpr int lanes = kLanes<E>, pair = kPair<E>;
  const int64_t vectors = width / lanes, blocks = (vectors + 3) / 4;
  for (int64_t block = 0, first = 0; block < blocks; block++) {
    const int64_t size = vectors / blocks + (block < vectors % blocks);
    with_constant<4>(size, [&](auto constant) {
      constexpr int Vectors = decltype(constant)::value;
      constexpr int Rows = std::min(kAccumulators / Vectors, 8);
      for (int64_t m = 0; m < height; m += Rows) {
        Number<E>* target = result + m * width + first * lanes;
        Vector<E> sums[Rows][Vectors];
        for (int i = 0; i < Rows; i++)
          for (int v = 0; v < Vectors; v++) sums[i][v] = load(target + i * width + v * lanes);
        multiply(sums, left + m * pair, int64_t(pair), pair * left_stride,
                 right + first * lanes * pair, pair * right_stride, (rows + pair - 1) / pair);
        for (int i = 0; i < Rows; i++)
          for (int v = 0; v < Vectors; v++) store(target + i * width + v * lanes, sums[i][v]);
      }
    });
    first += size;
  }
}

}  // namespace seqbelt
