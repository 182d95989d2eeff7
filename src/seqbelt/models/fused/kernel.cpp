// Recurrence of LSTM, GRU and RNN layers over sequences of different lengths, without padding.
//
// The input projections of all steps are one matrix product, done by torch beforehand; here only
// the recurrent part is left. Rows stay in the caller's order: step s of a sequence lies at
// row first + s * stride, stride being 1, or -1 in the backward direction, which thereby starts at
// each sequence's own last step. Within a task sequences are sorted by falling length, so those
// still running at step s are always the leading ones, and every step is one dense product of
// (running x hidden) by (hidden x gates * hidden).
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <string>
#include <tuple>

#include "cells.h"

namespace seqbelt {
namespace {

struct Sequence { int64_t index, first, length; };

// Between one row a sequence of the whole batch and one row a sequence of this task.
template <class T>
void copy_states(const std::vector<Sequence>& sequences, Matrix<T> all, Matrix<T> own,
                 int64_t hidden, bool write_back) {
  if (!all.data) return;
  for (size_t m = 0; m < sequences.size(); m++) {
    T *theirs = all.at(sequences[m].index), *ours = own.at(m);
    std::copy_n(write_back ? ours : theirs, hidden, write_back ? theirs : ours);
  }
}

// All steps of one direction for sequences sorted by falling length.
template <class Cell, class T>
void run_forward(const Direction<T>& layer, const std::vector<Sequence>& sequences,
                 const Panels<T, Cell::gates, Cell::columns>& weights) {
  constexpr int vectors = Cell::gates * Cell::columns;
  const int64_t batch = sequences.size(), hidden = layer.hidden;
  const int64_t width = weights.count * Cell::columns * kLanes<T>;
  std::vector<T> old_states(batch * width), new_states(batch * width), cells(batch * width);
  copy_states(sequences, layer.initial_hidden, {old_states.data(), width}, hidden, false);
  copy_states(sequences, layer.initial_cell, {cells.data(), width}, hidden, false);
  for (int64_t step = 0, running = batch; step < sequences[0].length; step++) {
    while (sequences[running - 1].length <= step) running--;
    const auto row_of = [&](int64_t m) { return sequences[m].first + step * layer.stride; };
    for (int64_t panel = 0; panel < weights.count; panel++)
      for_blocks<vectors>(running, [&](int64_t first, auto rows) {
        constexpr int Rows = decltype(rows)::value;
        const int64_t panel_unit = panel * Cell::columns * kLanes<T>;
        // The rows lie far apart: fetch them while the product is computed.
        for (int m = 0; m < Rows; m++)
          for (int column = 0; column < Cell::columns; column++) {
            const int64_t row = row_of(first + m), unit = panel_unit + column * kLanes<T>;
            for (int g = 0; g < Cell::gates; g++)
              __builtin_prefetch(layer.gates.at(row, g * hidden + unit));
            __builtin_prefetch(layer.output.at(row, unit), 1);
          }
        Vector<T> sums[Rows][vectors] = {};
        multiply(sums, &old_states[first * width], width, weights.panel(panel), hidden);
        for (int m = 0; m < Rows; m++)
          for (int column = 0; column < Cell::columns; column++) {
            const int64_t unit = panel_unit + column * kLanes<T>, row = row_of(first + m);
            if (unit >= hidden) break;
            const Place<T> place{layer, row, unit, hidden - unit};
            const int64_t slot = (first + m) * width + unit;
            const Vector<T> state =
                Cell::forward(place, &sums[m][column], &old_states[slot], &cells[slot]);
            store(&new_states[slot], state);
            store(layer.output.at(row, unit), state, place.count);
          }
      });
    std::swap(old_states, new_states);
  }
  copy_states(sequences, layer.final_cell, {cells.data(), width}, hidden, true);
  for (const Sequence& sequence : sequences)
    std::copy_n(layer.output.at(sequence.first + (sequence.length - 1) * layer.stride), hidden,
                layer.final_hidden.at(sequence.index));
}

// The same steps in opposite order; `weights` are the transposed ones, gates to hidden states.
template <class Cell, class T>
void run_backward(const Direction<T>& layer, const std::vector<Sequence>& sequences,
                  const Panels<T, 1, 4>& weights) {
  const int64_t batch = sequences.size(), hidden = layer.hidden, depth = Cell::gates * hidden;
  const int64_t width = weights.count * 4 * kLanes<T>;
  std::vector<T> states(batch * width), cells(batch * width), gates(batch * depth);
  copy_states(sequences, layer.final_hidden, {states.data(), width}, hidden, false);
  copy_states(sequences, layer.final_cell, {cells.data(), width}, hidden, false);
  for (int64_t step = sequences[0].length - 1, running = 0; step >= 0; step--) {
    while (running < batch && sequences[running].length > step) running++;
    const Matrix<T>& past_hidden = step ? layer.output : layer.initial_hidden;
    const Matrix<T>& past_cell = step ? layer.kept : layer.initial_cell;
    for (int64_t m = 0; m < running; m++) {
      const int64_t row = sequences[m].first + step * layer.stride;
      const int64_t past_row = step ? row - layer.stride : sequences[m].index;
      for (int64_t unit = 0; unit < hidden; unit += kLanes<T>) {
        const Place<T> place{layer, row, unit, hidden - unit, &gates[m * depth]};
        Vector<T> grad = load(&states[m * width + unit]);
        if (layer.grad_output.data) grad += load(layer.grad_output.at(row, unit), place.count);
        store(&states[m * width + unit],
              Cell::backward(place, grad, past_hidden.at(past_row, unit),
                             past_cell.at(past_row, unit), &cells[m * width + unit]));
      }
    }
    for (int64_t panel = 0; panel < weights.count; panel++)
      for_blocks<4>(running, [&](int64_t first, auto rows) {
        constexpr int Rows = decltype(rows)::value;
        T* target = &states[first * width + panel * 4 * kLanes<T>];
        Vector<T> sums[Rows][4];
        for (int m = 0; m < Rows; m++)
          for (int v = 0; v < 4; v++) sums[m][v] = load(target + m * width + v * kLanes<T>);
        multiply(sums, &gates[first * depth], depth, weights.panel(panel), depth);
        for (int m = 0; m < Rows; m++)
          for (int v = 0; v < 4; v++) store(target + m * width + v * kLanes<T>, sums[m][v]);
      });
  }
  copy_states(sequences, layer.final_hidden, {states.data(), width}, hidden, true);
  copy_states(sequences, layer.final_cell, {cells.data(), width}, hidden, true);
}

// ---- operators -------------------------------------------------------------------------------

using at::Tensor;

// Columns of direction `d` of a (rows, directions * width) matrix; an empty tensor means none.
template <class T> Matrix<T> part(const Tensor& matrix, int64_t d, int64_t width) {
  if (!matrix.numel()) return {};
  return {matrix.data_ptr<T>() + d * width, matrix.size(1)};
}

// States of direction `d` of a (directions, batch, hidden) tensor; an empty tensor means none.
template <class T> Matrix<T> states(const Tensor& tensor, int64_t d) {
  if (!tensor.numel()) return {};
  return {tensor.data_ptr<T>() + d * tensor.stride(0), tensor.size(2)};
}

// Calls body(direction, sequences, stride) for every direction and group of sequences, in parallel.
// `sequences` is (batch, 3): index, first row and length, by falling length. Dealing them out in
// turn gives all groups the same work.
template <class Body>
void for_tasks(const Tensor& sequences, int64_t directions, const Body& body) {
  const int64_t batch = sequences.size(0), threads = at::get_num_threads();
  const int64_t groups = std::min(batch, (threads + directions - 1) / directions);
  const int64_t* table = sequences.data_ptr<int64_t>();
  at::parallel_for(0, directions * groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const bool reversed = task / groups;
      std::vector<Sequence> members;
      for (int64_t b = task % groups; b < batch; b += groups) {
        const int64_t *entry = table + 3 * b, last = entry[1] + entry[2] - 1;
        members.push_back({entry[0], reversed ? last : entry[1], entry[2]});
      }
      body(task / groups, members, reversed ? -1 : 1);
    }
  });
}

template <class Body> void with_cell(const std::string& cell, const Body& body) {
  if (cell == "lstm") body(Lstm());
  else if (cell == "gru") body(Gru());
  else body(Rnn());
}

// Shapes and types are checked in Python. gates (rows, directions * gates * hidden) holds the input
// projections; if training they are overwritten with what the backward pass needs.
std::tuple<Tensor, Tensor, Tensor, Tensor> forward(
    const std::string& cell, const Tensor& gates, const Tensor& weights,
    const Tensor& candidate_bias, const Tensor& initial_hidden, const Tensor& initial_cell,
    const Tensor& sequences,
    bool training) {
  const int64_t directions = weights.size(0), hidden = weights.size(2);
  const bool lstm = cell == "lstm", keeps = training && (lstm || cell == "gru");
  const Tensor output = at::empty({gates.size(0), directions * hidden}, gates.options());
  const Tensor kept = at::empty({keeps ? gates.size(0) : 0, directions * hidden}, gates.options());
  const Tensor final_hidden = at::empty(initial_hidden.sizes(), gates.options());
  const Tensor final_cell = at::empty(initial_cell.sizes(), gates.options());
  AT_DISPATCH_FLOATING_TYPES(gates.scalar_type(), "seqbelt_fused_forward", [&] {
    with_cell(cell, [&](auto kind) {
      using Cell = decltype(kind);
      std::vector<Panels<scalar_t, Cell::gates, Cell::columns>> panels;
      for (int64_t d = 0; d < directions; d++)
        panels.emplace_back(weights.data_ptr<scalar_t>() + d * weights.stride(0), hidden, hidden,
                            hidden * hidden, hidden, 1);
      for_tasks(sequences, directions, [&](int64_t d, const auto& members, int64_t stride) {
        Direction<scalar_t> layer{hidden, stride};
        layer.gates = part<scalar_t>(gates, d, Cell::gates * hidden);
        layer.output = part<scalar_t>(output, d, hidden);
        layer.kept = part<scalar_t>(kept, d, hidden);
        layer.initial_hidden = states<scalar_t>(initial_hidden, d);
        layer.initial_cell = states<scalar_t>(initial_cell, d);
        layer.final_hidden = states<scalar_t>(final_hidden, d);
        layer.final_cell = states<scalar_t>(final_cell, d);
        layer.candidate_bias = states<scalar_t>(candidate_bias, d).data;
        layer.rectified = cell == "rnn_relu";
        run_forward<Cell>(layer, members, panels[d]);
      });
    });
  });
  return {output, kept, final_hidden, final_cell};
}

// grad_hidden and grad_cell hold the gradients of the final states and are overwritten with those
// of the initial ones. Returns the gradients of the projections and, for a GRU, of what it kept.
std::tuple<Tensor, Tensor> backward(
    const std::string& cell, const Tensor& gates, const Tensor& weights, const Tensor& output,
    const Tensor& kept, const Tensor& initial_hidden, const Tensor& initial_cell,
    const Tensor& sequences, const Tensor& grad_output, const Tensor& grad_hidden,
    const Tensor& grad_cell) {
  const int64_t directions = weights.size(0), hidden = weights.size(2);
  const int64_t rows = output.size(0), gate_columns = directions * weights.size(1);
  const Tensor grad_gates = at::empty({rows, gate_columns}, output.options());
  const Tensor grad_kept =
      at::empty({cell == "gru" ? rows : 0, directions * hidden}, output.options());
  AT_DISPATCH_FLOATING_TYPES(output.scalar_type(), "seqbelt_fused_backward", [&] {
    std::vector<Panels<scalar_t, 1, 4>> panels;
    for (int64_t d = 0; d < directions; d++)
      panels.emplace_back(weights.data_ptr<scalar_t>() + d * weights.stride(0), weights.size(1),
                          hidden, 0, 1, hidden);
    with_cell(cell, [&](auto kind) {
      using Cell = decltype(kind);
      for_tasks(sequences, directions, [&](int64_t d, const auto& members, int64_t stride) {
        Direction<scalar_t> layer{hidden, stride};
        layer.gates = part<scalar_t>(gates, d, Cell::gates * hidden);
        layer.output = part<scalar_t>(output, d, hidden);
        layer.kept = part<scalar_t>(kept, d, hidden);
        layer.initial_hidden = states<scalar_t>(initial_hidden, d);
        layer.initial_cell = states<scalar_t>(initial_cell, d);
        layer.final_hidden = states<scalar_t>(grad_hidden, d);
        layer.final_cell = states<scalar_t>(grad_cell, d);
        layer.grad_output = part<scalar_t>(grad_output, d, hidden);
        layer.grad_gates = part<scalar_t>(grad_gates, d, Cell::gates * hidden);
        layer.grad_kept = part<scalar_t>(grad_kept, d, hidden);
        layer.rectified = cell == "rnn_relu";
        run_backward<Cell>(layer, members, panels[d]);
      });
    });
  });
  return {grad_gates, grad_kept};
}

}  // namespace
}  // namespace seqbelt

TORCH_LIBRARY(seqbelt_fused, library) {
  library.def("forward", &seqbelt::forward);
  library.def("backward", &seqbelt::backward);
}
