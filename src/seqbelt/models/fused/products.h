// Small matrix products.
#pragma once

#include "tiles.h"

namespace seqbelt {

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
    for (int64_t panel = 0; panel < count; panel++)
      for (int64_t v = 0; v < vectors; v++)
        for (int64_t lane = 0; lane < lanes; lane++) {
          const int64_t unit = (panel * columns + v % columns) * lanes + lane;
          E* to = data.data() + panel * depth * step() + (v * lanes + lane) * kPair<E>;
          for (int64_t k = 0; k < (unit < units ? inputs : 0); k++)
            to[k / kPair<E> * step() + k % kPair<E>] = operand<E>(weight(v / columns, unit, k));
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

// Calls finish(row, sums of its `Vectors` vectors) for every row of left (rows, depth) * a panel of
// the weights + start(row, vector). Up to `kTileRows` rows of `left` after the last one are read.
template <int Vectors, class E, class Start, class Finish>
ALWAYS_INLINE void multiply_rows(const E* left, int64_t left_stride, int64_t rows,
                                 const Panels<E>& weights, int64_t panel, const Start& start,
                                 const Finish& finish) {
  const E* right = weights.panel(panel);
  TileProduct<E, Vectors> tiles;
  const int64_t tiled = tiles.depth(weights.depth);
  for (int64_t top = 0, count; top < rows; top += count) {
    count = tiled ? std::min(rows - top, kTileRows) : rows;
    if (tiled) tiles.multiply(left + top * left_stride, left_stride, right, weights.step(), tiled);
    for_blocks<Vectors>(count, [&](int64_t first, auto constant) {
      constexpr int Rows = decltype(constant)::value;
      Vector<E> sums[Rows][Vectors];
      for (int m = 0; m < Rows; m++)
        for (int v = 0; v < Vectors; v++) {
          sums[m][v] = start(top + first + m, v);
          if (tiled) sums[m][v] += tiles.sum(first + m, v);
        }
      multiply(sums, left + (top + first) * left_stride + tiled * kPair<E>, left_stride,
               int64_t(kPair<E>), right + tiled * weights.step(), weights.step(),
               weights.depth - tiled);
      for (int m = 0; m < Rows; m++) finish(top + first + m, sums[m]);
    });
  }
}

// result (rows, panels * Vectors vectors) = start + left (rows, depth) * weights, where `start` is
// what stood there, or the bias, if there is one.
template <int Vectors, class E>
void add_product(Number<E>* result, int64_t result_stride, const E* left, int64_t left_stride,
                 int64_t rows, const Panels<E>& weights,
                 const Panels<Number<E>>* bias = nullptr) {
  constexpr int lanes = kLanes<E>;
  for (int64_t panel = 0; panel < weights.count; panel++) {
    Number<E>* target = result + panel * Vectors * lanes;
    multiply_rows<Vectors>(
        left, left_stride, rows, weights, panel,
        [&](int64_t m, int v) {
          return load((bias ? bias->panel(panel) : target + m * result_stride) + v * lanes);
        },
        [&](int64_t m, const Vector<E>* sums) {
          for (int v = 0; v < Vectors; v++) store(target + m * result_stride + v * lanes, sums[v]);
        });
  }
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
  RowBlock(int64_t rows, int64_t width) : stride(width + 16), data((rows + kTileRows) * stride) {}
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
