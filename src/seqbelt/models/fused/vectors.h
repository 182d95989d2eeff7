// Vectors of numbers, and the operands of products on them, for any processor.
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
template <class E> ALWAYS_INLINE E operand(Number<E> value) { return value; }
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
template <> ALWAYS_INLINE Half operand<Half>(float value) {
  return {uint16_t(_mm_extract_epi16((__m128i)_mm_cvtneps_pbh(_mm_set_ss(value)), 0))};
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

}  // namespace seqbelt
