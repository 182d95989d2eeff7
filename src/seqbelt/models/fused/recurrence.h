// One direction of a layer over a group of sequences of different lengths, without padding.
//
// Sequences are sorted by falling length, so those still running at step s are always the leading
// ones, and every step is one dense product of (running x hidden) by (hidden x gates * hidden).
// Steps are taken in chunks of about `kChunkRows` rows: their input projections, or the gradients
// of their gates, are computed together, used at once and never leave the cache.
#pragma once

#include "cells.h"

namespace seqbelt {

constexpr int64_t kChunkRows = 96;

template <class T> struct Matrix {
  T* data = nullptr;
  int64_t stride = 0;
  T* at(int64_t row, int64_t column = 0) const { return data + row * stride + column; }
};

// In the caller's matrices step s lies at row first + s * stride (of the group); `padding` rows
// after the sequence belong to it, too, and are filled with zeros.
struct Sequence { int64_t index, first, length, padding; };

struct Group {
  std::vector<Sequence> sequences;  // by falling length
  int64_t stride;                   // 1, or -1 from each sequence's own last step
  std::vector<int64_t> starts{0};   // the group's own rows, ordered by step: first row of a step

  Group(std::vector<Sequence> members, int64_t stride)
      : sequences(std::move(members)), stride(stride) {
    int64_t running = sequences.size();
    for (int64_t step = 0; step < num_steps(); step++) {
      while (sequences[running - 1].length <= step) running--;
      starts.push_back(starts.back() + running);
    }
  }
  int64_t batch() const { return sequences.size(); }
  int64_t num_steps() const { return sequences[0].length; }
  int64_t running(int64_t step) const { return starts[step + 1] - starts[step]; }
  int64_t row(int64_t m, int64_t step) const { return sequences[m].first + step * stride; }
  int64_t largest_chunk() const { return std::max(kChunkRows, batch()); }
};

template <class T, class E> struct Layer {
  int64_t inputs, hidden, width;  // width: of hidden, in whole vectors
  bool rectified;                 // RNN: relu instead of tanh
  Matrix<T> rows, output, grad_output, grad_rows;
  Matrix<E> kept;  // of the group: what training keeps of every step
  Matrix<T> initial_hidden, initial_cell;
  Matrix<T> final_hidden, final_cell;  // backward: gradients in, those of the initial states out
};

// Panels of one direction; the biases are those of the sums and of a GRU's recurrent candidate.
template <class E> struct ForwardWeights {
  Panels<E> input, hidden;
  Panels<Number<E>> bias, candidate_bias;
};
template <class E> struct BackwardWeights { Panels<E> input, hidden; };

// Between one row a sequence of the whole batch and one row a sequence of the group.
template <class T>
void copy_states(const Group& group, Matrix<T> all, Matrix<T> own, int64_t hidden, bool out) {
  if (!all.data) return;
  for (int64_t m = 0; m < group.batch(); m++) {
    T *theirs = all.at(group.sequences[m].index), *ours = own.at(m);
    std::copy_n(out ? ours : theirs, hidden, out ? theirs : ours);
  }
}

template <class T> void clear_padding(const Group& group, Matrix<T> matrix, int64_t width) {
  for (int64_t m = 0; m < group.batch(); m++) {
    const Sequence& sequence = group.sequences[m];
    const int64_t last = group.row(m, group.stride > 0 ? sequence.length - 1 : 0);
    for (int64_t i = 1; i <= sequence.padding; i++) std::fill_n(matrix.at(last + i), width, T{});
  }
}

// One step of the leading `running` sequences, from `projections`, one row a sequence. The product
// reads the old hidden states as operands; `states` has them as numbers.
template <class Cell, class E, class T>
void step_forward(const Layer<T, E>& layer, const Group& group, int64_t step,
                  const ForwardWeights<E>& weights, const T* projections, const E* old_states,
                  E* new_states, T* states, T* cells) {
  constexpr int vectors = Cell::gates * Cell::columns, lanes = kLanes<T>;
  const Panels<E>& panels = weights.hidden;
  const int64_t width = layer.width, projection_width = panels.count * vectors * lanes;
  for (int64_t panel = 0; panel < panels.count; panel++)
    multiply_rows<vectors>(
        old_states, width, group.running(step), panels, panel,
        [&](int64_t m, int v) {
          if (Cell::recurrent && v == 2) return load(weights.candidate_bias.panel(panel));
          return load(projections + m * projection_width + (panel * vectors + v) * lanes);
        },
        [&](int64_t m, const Vector<T>* sums) {
          const T* projection = projections + m * projection_width + panel * vectors * lanes;
          for (int column = 0; column < Cell::columns; column++) {
            const int64_t unit = (panel * Cell::columns + column) * lanes;
            if (unit >= width) break;
            const int64_t slot = m * width + unit, own_row = group.starts[step] + m;
            const Kept<E> kept{layer.kept.data ? layer.kept.at(own_row, unit) : nullptr, width};
            const Vector<T> state = Cell::forward(kept, &sums[column], projection,
                                                  load(states + slot), cells + slot,
                                                  layer.rectified);
            store(states + slot, state), store(new_states + slot, state);
            if (kept.row) kept.set(Cell::kept - 1, state);
            store(layer.output.at(group.row(m, step), unit), state, layer.hidden - unit);
          }
        });
}

template <class Cell, class E, class T>
void run_forward(const Layer<T, E>& layer, const Group& group, const ForwardWeights<E>& weights) {
  constexpr int vectors = Cell::gates * Cell::columns;
  const int64_t batch = group.batch(), width = layer.width;
  const int64_t input_width = round_up(layer.inputs, kLanes<T>);
  const int64_t projection_width = weights.input.count * vectors * kLanes<T>;
  std::vector<T> states(batch * width), cells(batch * width);
  // Products read some rows beyond the last one.
  std::vector<E> old_states((batch + kTileRows) * width), new_states((batch + kTileRows) * width);
  std::vector<E> inputs((group.largest_chunk() + kTileRows) * input_width);
  [[maybe_unused]] const TileSetting<E> setting;
  std::vector<T> projections(group.largest_chunk() * projection_width);
  copy_states(group, layer.initial_hidden, {states.data(), width}, layer.hidden, false);
  copy_states(group, layer.initial_cell, {cells.data(), width}, layer.hidden, false);
  copy_row(states.data(), states.size(), old_states.data());
  for (int64_t begin = 0, end = 0; begin < group.num_steps(); begin = end) {
    const auto rows = [&] { return group.starts[end] - group.starts[begin]; };
    for (; end < group.num_steps() && (end == begin || rows() + group.running(end) <= kChunkRows);
         end++)
      for (int64_t m = 0; m < group.running(end); m++)
        copy_row(layer.rows.at(group.row(m, end)), layer.inputs,
                 &inputs[(rows() + m) * input_width]);
    add_product<vectors>(projections.data(), projection_width, inputs.data(), input_width,
                            rows(), weights.input, &weights.bias);
    for (int64_t step = begin; step < end; step++) {
      const T* projection =
          &projections[(group.starts[step] - group.starts[begin]) * projection_width];
      step_forward<Cell>(layer, group, step, weights, projection, old_states.data(),
                         new_states.data(), states.data(), cells.data());
      old_states.swap(new_states);
    }
  }
  copy_states(group, layer.final_hidden, {states.data(), width}, layer.hidden, true);
  copy_states(group, layer.final_cell, {cells.data(), width}, layer.hidden, true);
  clear_padding(group, layer.output, layer.hidden);
}

// The sums of one group's gradients of one direction's weights, one row a unit of a gate and whole
// vectors wide, with rows to spare. Units of a gate begin at multiples of the hidden width.
template <class T> struct WeightGradients {
  std::vector<T> input, hidden, input_bias, hidden_bias;
  WeightGradients(int64_t height, int64_t input_width, int64_t hidden_width)
      : input((height + kAccumulators) * input_width),
        hidden((height + kAccumulators) * hidden_width), input_bias(height), hidden_bias(height) {}
};

// Rows of a chunk: gradients of the gates, and the inputs and past states that they weigh.
template <class E> struct BackwardChunk {
  RowBlock<E> grads, inputs, past;
  BackwardChunk(int64_t rows, int64_t grads_width, int64_t input_width, int64_t hidden_width)
      : grads(rows, grads_width), inputs(rows, input_width), past(rows, hidden_width) {}
};

// The gradients of the gates of one step; `states` and `cells` hold those of the states after it
// and get what reaches the states before it past the weights.
template <class Cell, class E, class T>
void step_backward(const Layer<T, E>& layer, const Group& group, int64_t step, int64_t begin,
                   BackwardChunk<E>& chunk, Matrix<T> states, T* cells) {
  const int64_t width = layer.width, state_block = (Cell::kept - 1) * width;
  for (int64_t m = 0; m < group.running(step); m++) {
    const int64_t own_row = group.starts[step] + m, row = group.row(m, step);
    const int64_t chunk_row = own_row - group.starts[begin], index = group.sequences[m].index;
    const int64_t past_row = step ? group.starts[step - 1] + m : 0;
    copy_row(layer.rows.at(row), layer.inputs, chunk.inputs.row(chunk_row));
    for (int64_t unit = 0; unit < width; unit += kLanes<T>) {
      const int64_t count = layer.hidden - unit;
      Vector<T> past{}, past_cell{}, grad = load(states.at(m, unit));
      if (step) {
        past = load(layer.kept.at(past_row, state_block + unit));
        past_cell = load(layer.kept.at(past_row, Cell::memory * width + unit));
      } else {
        past = load(layer.initial_hidden.at(index, unit), count);
        if (layer.initial_cell.data) past_cell = load(layer.initial_cell.at(index, unit), count);
      }
      if (layer.grad_output.data) grad += load(layer.grad_output.at(row, unit), count);
      const Kept<E> kept{layer.kept.at(own_row, unit), width};
      const Gradients<E> grads{chunk.grads.row(chunk_row) + unit, width};
      store(chunk.past.row(chunk_row) + unit, past);
      store(states.at(m, unit), Cell::backward(kept, grads, grad, past, past_cell,
                                               cells + m * width + unit, layer.rectified));
    }
  }
}

// What the gates' gradients of a chunk of `rows` add to those of the weights.
template <class Cell, class E, class T>
void add_weight_gradients(BackwardChunk<E>& chunk, int64_t rows, int64_t input_width,
                          int64_t width, WeightGradients<T>& sums) {
  const int64_t height = Cell::gates * width, recurrent = Cell::recurrent * width;
  chunk.grads.prepare(rows), chunk.inputs.prepare(rows), chunk.past.prepare(rows);
  add_outer_product<E>(sums.input.data(), height, input_width, rows, chunk.grads.over_rows(0),
                       chunk.grads.stride, chunk.inputs.over_rows(0), chunk.inputs.stride);
  add_outer_product<E>(sums.hidden.data(), height, width, rows, chunk.grads.over_rows(recurrent),
                       chunk.grads.stride, chunk.past.over_rows(0), chunk.past.stride);
  for (int64_t unit = 0; unit < height; unit += kLanes<T>) {
    Vector<T> bias = load(&sums.input_bias[unit]), hidden_bias = load(&sums.hidden_bias[unit]);
    for (int64_t r = 0; r < rows; r++) {
      bias += load(chunk.grads.row(r) + unit);
      hidden_bias += load(chunk.grads.row(r) + recurrent + unit);
    }
    store(&sums.input_bias[unit], bias), store(&sums.hidden_bias[unit], hidden_bias);
  }
}

// Gradients of the inputs of the steps from `begin` to `end`.
template <class E, class T>
void write_input_gradients(const Layer<T, E>& layer, const Group& group, int64_t begin, int64_t end,
                           BackwardChunk<E>& chunk, const Panels<E>& weights,
                           std::vector<T>& buffer) {
  const int64_t rows = group.starts[end] - group.starts[begin];
  const int64_t width = weights.count * weights.vectors * kLanes<T>;
  buffer.assign(rows * width, T{});
  add_product<4>(buffer.data(), width, chunk.grads.row(0), chunk.grads.stride, rows, weights);
  for (int64_t step = begin, r = 0; step < end; step++)
    for (int64_t m = 0; m < group.running(step); m++, r++)
      std::copy_n(&buffer[r * width], layer.inputs, layer.grad_rows.at(group.row(m, step)));
}

// The same steps in opposite order.
template <class Cell, class E, class T>
void run_backward(const Layer<T, E>& layer, const Group& group, const BackwardWeights<E>& weights,
                  WeightGradients<T>& sums) {
  const int64_t batch = group.batch(), width = layer.width;
  const int64_t stride = weights.hidden.count * 4 * kLanes<T>;
  const int64_t input_width = round_up(layer.inputs, kLanes<T>);
  std::vector<T> state_data(batch * stride), cells(batch * width), buffer;
  const Matrix<T> states{state_data.data(), stride};
  [[maybe_unused]] const TileSetting<E> setting;
  BackwardChunk<E> chunk(group.largest_chunk(), Cell::grads * width, input_width, width);
  copy_states(group, layer.final_hidden, states, layer.hidden, false);
  copy_states(group, layer.final_cell, {cells.data(), width}, layer.hidden, false);
  for (int64_t end = group.num_steps(), begin = end; end > 0; end = begin) {
    for (begin--; begin > 0 && group.starts[end] - group.starts[begin - 1] <= kChunkRows;) begin--;
    for (int64_t step = end - 1; step >= begin; step--) {
      step_backward<Cell>(layer, group, step, begin, chunk, states, cells.data());
      const int64_t first = group.starts[step] - group.starts[begin];
      add_product<4>(states.data, stride, chunk.grads.row(first) + Cell::recurrent * width,
                     chunk.grads.stride, group.running(step), weights.hidden);
    }
    add_weight_gradients<Cell>(chunk, group.starts[end] - group.starts[begin], input_width, width,
                               sums);
    if (layer.grad_rows.data)
      write_input_gradients(layer, group, begin, end, chunk, weights.input, buffer);
  }
  copy_states(group, layer.final_hidden, states, layer.hidden, true);
  copy_states(group, layer.final_cell, {cells.data(), width}, layer.hidden, true);
  if (layer.grad_rows.data) clear_padding(group, layer.grad_rows, layer.inputs);
}

}  // namespace seqbelt
