// The operators that Python calls: recurrent layers of LSTM, GRU and RNN cells.
//
// Rows stay in the caller's order, one sequence after another, padded or not. Groups of sequences
// and directions are computed in parallel.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <string>
#include <tuple>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "recurrence.h"

namespace seqbelt {
namespace {

using at::Tensor;

// A matrix too large for the allocator to keep is mapped anew each time: in huge pages, because
// faults on small ones took a fifth of a training step on long sequences.
Tensor allocate(at::IntArrayRef sizes, const at::TensorOptions& options) {
  const Tensor tensor = at::empty(sizes, options);
#if defined(__linux__)
  constexpr uintptr_t page = 1 << 21;
  const uintptr_t address = reinterpret_cast<uintptr_t>(tensor.data_ptr());
  const uintptr_t first = (address + page - 1) / page, last = (address + tensor.nbytes()) / page;
  if (first < last)
    madvise(reinterpret_cast<void*>(first * page), (last - first) * page, MADV_HUGEPAGE);
#endif
  return tensor;
}

// Calls body(cell, operand) with the cell and a value of the type of the products' operands.
template <class Body>
void with_types(const std::string& cell, at::ScalarType type, bool half, const Body& body) {
  const auto with_operand = [&](auto kind) {
    if (type == at::kDouble) body(kind, double());
    else if (half) body(kind, Half());
    else body(kind, float());
  };
  if (cell == "lstm") with_operand(Lstm());
  else if (cell == "gru") with_operand(Gru());
  else with_operand(Rnn());
}

// Columns of direction `d` of a (rows, directions * width) matrix; an empty tensor means none.
template <class T> Matrix<T> part(const Tensor& matrix, int64_t d, int64_t width) {
  if (!matrix.numel()) return {};
  return {matrix.data_ptr<T>() + d * width, matrix.size(1)};
}

// Matrix `d` of a (directions, rows, columns) tensor; an empty tensor means none.
template <class T> Matrix<T> page(const Tensor& tensor, int64_t d) {
  if (!tensor.numel()) return {};
  return {tensor.data_ptr<T>() + d * tensor.stride(0), tensor.size(2)};
}

// While it lives, this thread's numbers below the smallest normal one become zero. A gradient that
// vanishes over hundreds of steps passes through them, and processors take up to a hundred times as
// long for each: without this, training on long sequences takes five times as long.
class FlushSubnormals {
 public:
#if defined(__SSE__)
  FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }  // results, operands
  ~FlushSubnormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  FlushSubnormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" ::"r"(before_ | uint64_t{1} << 24));
  }
  ~FlushSubnormals() { asm volatile("msr fpcr, %0" ::"r"(before_)); }

 private:
  uint64_t before_;
#endif
};

// Calls body(direction, group, number of the group, its first row among all groups' own rows) for
// every direction and group, in parallel. `sequences` is (batch, 4): index, first row, length and
// padding, by falling length. Dealing them out in turn gives all groups the same work.
template <class Body>
void for_tasks(const Tensor& sequences, int64_t directions, int64_t groups, const Body& body) {
  const int64_t* table = sequences.data_ptr<int64_t>();
  at::parallel_for(0, directions * groups, 1, [&](int64_t begin, int64_t end) {
    [[maybe_unused]] const FlushSubnormals flush;
    for (int64_t task = begin; task < end; task++) {
      const int64_t direction = task / groups, number = task % groups;
      std::vector<Sequence> members;
      int64_t first_row = 0;
      for (int64_t b = 0; b < sequences.size(0); b++) {
        const int64_t* entry = table + 4 * b;
        if (b % groups < number) first_row += entry[2];
        if (b % groups != number) continue;
        const int64_t first = entry[1] + (direction ? entry[2] - 1 : 0);
        members.push_back({entry[0], first, entry[2], entry[3]});
      }
      body(direction, Group(std::move(members), direction ? -1 : 1), number, first_row);
    }
  });
}

// The gate to which a block of the projection's gradients belongs: a GRU's are n, r, z.
template <class Cell> int64_t gate_of(int64_t block) {
  return (block + Cell::gates - Cell::recurrent) % Cell::gates;
}

// weights: weight_ih, weight_hh, bias_ih and bias_hh of a direction.
template <class Cell, class E>
ForwardWeights<E> pack_forward(const Tensor* weights, int64_t inputs, int64_t hidden) {
  using T = Number<E>;
  const T *input = weights[0].data_ptr<T>(), *recurrent = weights[1].data_ptr<T>();
  const T *bias = weights[2].data_ptr<T>(), *second_bias = weights[3].data_ptr<T>();
  const int64_t gates = Cell::gates, columns = Cell::columns;
  ForwardWeights<E> packed;
  packed.input = {gates, columns, hidden, inputs, [&](int64_t g, int64_t u, int64_t k) {
    return input[(g * hidden + u) * inputs + k];
  }};
  packed.hidden = {gates, columns, hidden, hidden, [&](int64_t g, int64_t u, int64_t k) {
    return recurrent[(g * hidden + u) * hidden + k];
  }};
  // The recurrent bias of a GRU's candidate is scaled by the reset gate and stays apart.
  packed.bias = {gates, columns, hidden, 1, [&](int64_t g, int64_t u, int64_t) {
    return bias[g * hidden + u] + (Cell::recurrent && g == 2 ? 0 : second_bias[g * hidden + u]);
  }};
  packed.candidate_bias = {1, columns, hidden, 1, [&](int64_t, int64_t u, int64_t) {
    return second_bias[(gates - 1) * hidden + u];
  }};
  return packed;
}

// The transposed weights, from the gradients of the gates to those of inputs and hidden states.
template <class Cell, class E>
BackwardWeights<E> pack_backward(const Tensor* weights, int64_t inputs, int64_t hidden,
                                 bool with_inputs) {
  using T = Number<E>;
  const T *input = weights[0].data_ptr<T>(), *recurrent = weights[1].data_ptr<T>();
  const int64_t width = round_up(hidden, kLanes<T>), depth = Cell::gates * width;
  BackwardWeights<E> packed;
  if (with_inputs)
    packed.input = {1, 4, inputs, depth, [&](int64_t, int64_t u, int64_t k) {
      const int64_t unit = k % width, row = gate_of<Cell>(k / width) * hidden + unit;
      return unit < hidden ? input[row * inputs + u] : 0;
    }};
  packed.hidden = {1, 4, hidden, depth, [&](int64_t, int64_t u, int64_t k) {
    const int64_t unit = k % width, row = k / width * hidden + unit;
    return unit < hidden ? recurrent[row * hidden + u] : 0;
  }};
  return packed;
}

template <class E> at::ScalarType scalar_type() {
  if (kPair<E> == 2) return at::kBFloat16;
  return std::is_same_v<E, double> ? at::kDouble : at::kFloat;
}

// Shapes and types are checked in Python: rows (rows, inputs), weights four a direction, states
// (directions, batch, hidden). `half` asks for products in half precision, where there is one.
// Returns the output, the final states and, if training, what the backward pass needs.
std::tuple<Tensor, Tensor, Tensor, Tensor> forward(
    const std::string& cell, bool half, int64_t groups, bool training, const Tensor& rows,
    const Tensor& sequences, const Tensor& initial_hidden, const Tensor& initial_cell,
    const std::vector<Tensor>& weights) {
  const int64_t directions = initial_hidden.size(0), hidden = initial_hidden.size(2);
  const Tensor output = allocate({rows.size(0), directions * hidden}, rows.options());
  const Tensor final_hidden = at::empty(initial_hidden.sizes(), rows.options());
  const Tensor final_cell = at::empty(initial_cell.sizes(), rows.options());
  Tensor kept;
  with_types(cell, rows.scalar_type(), half, [&](auto kind, auto operand) {
    using Cell = decltype(kind);
    using E = decltype(operand);
    using T = Number<E>;
    const int64_t width = round_up(hidden, kLanes<T>);
    const int64_t own_rows = training ? sequences.select(1, 2).sum().template item<int64_t>() : 0;
    kept = allocate({directions, own_rows, Cell::kept * width},
                     rows.options().dtype(scalar_type<E>()));
    std::vector<ForwardWeights<E>> packed(directions);
    at::parallel_for(0, directions, 1, [&](int64_t begin, int64_t end) {
      for (int64_t d = begin; d < end; d++)
        packed[d] = pack_forward<Cell, E>(&weights[4 * d], rows.size(1), hidden);
    });
    for_tasks(sequences, directions, groups,
              [&](int64_t d, const Group& group, int64_t, int64_t first_row) {
      Layer<T, E> layer{rows.size(1), hidden, width, cell == "rnn_relu"};
      layer.rows = part<T>(rows, 0, 0);
      layer.output = part<T>(output, d, hidden);
      if (training)
        layer.kept = {static_cast<E*>(kept.data_ptr()) + d * kept.stride(0) +
                          first_row * kept.stride(1), kept.stride(1)};
      layer.initial_hidden = page<T>(initial_hidden, d);
      layer.initial_cell = page<T>(initial_cell, d);
      layer.final_hidden = page<T>(final_hidden, d);
      layer.final_cell = page<T>(final_cell, d);
      run_forward<Cell>(layer, group, packed[d]);
    });
  });
  return {output, final_hidden, final_cell, kept};
}

// Rows (gates * hidden, columns) of a group's sums, whose gates begin at multiples of `width`.
template <class Cell, class T>
void write_gradient(const std::vector<T>& sums, int64_t sums_stride, int64_t width, int64_t hidden,
                    bool projected, T* to, int64_t columns) {
  for (int64_t block = 0; block < Cell::gates; block++) {
    const int64_t gate = projected ? gate_of<Cell>(block) : block;
    for (int64_t unit = 0; unit < hidden; unit++)
      std::copy_n(&sums[(block * width + unit) * sums_stride], columns,
                  to + (gate * hidden + unit) * columns);
  }
}

// grad_hidden and grad_cell hold the gradients of the final states and are overwritten with those
// of the initial ones. Returns the gradients of the rows (directions, rows, inputs), if wanted, and
// those of the weights, each (groups, ...): both are yet to be summed.
std::tuple<Tensor, std::vector<Tensor>> backward(
    const std::string& cell, bool half, int64_t groups, bool with_rows, const Tensor& rows,
    const Tensor& sequences, const Tensor& initial_hidden, const Tensor& initial_cell,
    const std::vector<Tensor>& weights, const Tensor& kept, const Tensor& grad_output,
    const Tensor& grad_hidden, const Tensor& grad_cell) {
  const int64_t directions = initial_hidden.size(0), hidden = initial_hidden.size(2);
  const int64_t inputs = rows.size(1);
  const Tensor grad_rows =
      allocate({with_rows ? directions : 0, rows.size(0), inputs}, rows.options());
  std::vector<Tensor> grads;
  for (const Tensor& weight : weights) {
    std::vector<int64_t> shape = weight.sizes().vec();
    shape.insert(shape.begin(), groups);
    grads.push_back(at::empty(shape, rows.options()));
  }
  with_types(cell, rows.scalar_type(), half, [&](auto kind, auto operand) {
    using Cell = decltype(kind);
    using E = decltype(operand);
    using T = Number<E>;
    const int64_t width = round_up(hidden, kLanes<T>), input_width = round_up(inputs, kLanes<T>);
    std::vector<BackwardWeights<E>> packed(directions);
    at::parallel_for(0, directions, 1, [&](int64_t begin, int64_t end) {
      for (int64_t d = begin; d < end; d++)
        packed[d] = pack_backward<Cell, E>(&weights[4 * d], inputs, hidden, with_rows);
    });
    for_tasks(sequences, directions, groups,
              [&](int64_t d, const Group& group, int64_t number, int64_t first_row) {
      Layer<T, E> layer{inputs, hidden, width, cell == "rnn_relu"};
      layer.rows = part<T>(rows, 0, 0);
      layer.kept = {static_cast<E*>(kept.data_ptr()) + d * kept.stride(0) +
                        first_row * kept.stride(1), kept.stride(1)};
      layer.initial_hidden = page<T>(initial_hidden, d);
      layer.initial_cell = page<T>(initial_cell, d);
      layer.final_hidden = page<T>(grad_hidden, d);
      layer.final_cell = page<T>(grad_cell, d);
      layer.grad_output = part<T>(grad_output, d, hidden);
      layer.grad_rows = page<T>(grad_rows, d);
      WeightGradients<T> sums(Cell::gates * width, input_width, width);
      run_backward<Cell>(layer, group, packed[d], sums);
      const auto to = [&](int i) {
        const Tensor& grad = grads[4 * d + i];
        return grad.data_ptr<T>() + number * grad.stride(0);
      };
      write_gradient<Cell>(sums.input, input_width, width, hidden, true, to(0), inputs);
      write_gradient<Cell>(sums.hidden, width, width, hidden, false, to(1), hidden);
      write_gradient<Cell>(sums.input_bias, 1, width, hidden, true, to(2), 1);
      write_gradient<Cell>(sums.hidden_bias, 1, width, hidden, false, to(3), 1);
    });
  });
  return {grad_rows, grads};
}

}  // namespace
}  // namespace seqbelt

TORCH_LIBRARY(seqbelt_fused, library) {
  library.def("forward", &seqbelt::forward);
  library.def("backward", &seqbelt::backward);
}
