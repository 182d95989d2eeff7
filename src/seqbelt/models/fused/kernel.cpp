// The functions that Python calls: recurrent layers of LSTM, GRU and RNN cells.
//
// Plain C, so that one library serves every release of Python and torch: Python allocates all
// matrices and passes their addresses. Rows stay in the caller's order, one sequence after another,
// padded or not. Groups of sequences and directions are computed in parallel.
#include <atomic>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "recurrence.h"

// A layer's sizes and contiguous matrices. Shapes and types are checked in Python, where
// library.py repeats this structure. Null stands for a matrix that is not there. A pass back takes
// the gradients of the final states as these states and overwrites them with those of the initial
// ones.
struct Arguments {
  int64_t cell;       // 0 LSTM, 1 GRU, 2 RNN with tanh, 3 RNN with ReLU
  int64_t precision;  // 0 float32, 1 float64, 2 float32 with products of bfloat16
  int64_t threads, directions, groups, batch, num_rows, inputs, hidden;
  int64_t kept_rows;         // steps of all sequences, without padding
  const int64_t* sequences;  // (batch, 4): index, first row, length, padding; by falling length
  void* rows;                // (num_rows, inputs)
  void *initial_hidden, *initial_cell, *final_hidden, *final_cell;  // (directions, batch, hidden)
  void* const* weights;  // of each direction weight_ih, weight_hh, bias_ih and bias_hh
  void* output;          // (num_rows, directions * hidden), or its gradient
  void* kept;            // (directions, kept_rows, bytes of a row), of a forward pass in training
  void* grad_rows;       // (directions, num_rows, inputs), yet to be summed
  void* const* grad_weights;  // like weights, each (groups, ...), yet to be summed
};

namespace seqbelt {
namespace {

// A matrix too large for the allocator to keep is mapped anew each time: in huge pages, because
// faults on small ones took a fifth of a training step on long sequences.
void use_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] int64_t num_bytes) {
#if defined(__linux__)
  constexpr uintptr_t page = 1 << 21;
  const uintptr_t address = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = (address + page - 1) / page, last = (address + num_bytes) / page;
  if (data && first < last)
    madvise(reinterpret_cast<void*>(first * page), (last - first) * page, MADV_HUGEPAGE);
#endif
}

// Calls body(i) for every i below `count`, in parallel; throws where any of them lacked memory.
template <class Body> void parallel_for(int64_t count, int64_t threads, const Body& body) {
  std::atomic<bool> has_memory = true;
#pragma omp parallel for num_threads(threads) schedule(static) if (count > 1 && threads > 1)
  for (int64_t i = 0; i < count; i++) {
    try {
      body(i);
    } catch (const std::bad_alloc&) {  // no exception may leave a parallel loop
      has_memory = false;
    }
  }
  if (!has_memory) throw std::bad_alloc();
}

// Calls body(cell, operand) with the cell and a value of the type of the products' operands.
template <class Body> void with_types(int64_t cell, int64_t precision, const Body& body) {
  const auto with_operand = [&](auto kind) {
    if (precision == 1) body(kind, double());
    else if (precision == 2) body(kind, Half());
    else body(kind, float());
  };
  if (cell == 0) with_operand(Lstm());
  else if (cell == 1) with_operand(Gru());
  else with_operand(Rnn());
}

// Columns of direction `d` of a (rows, directions * width) matrix.
template <class T> Matrix<T> part(void* matrix, int64_t d, int64_t width, int64_t directions) {
  if (!matrix) return {};
  return {static_cast<T*>(matrix) + d * width, directions * width};
}

// Matrix `d` of (directions, rows, columns).
template <class T> Matrix<T> page(void* matrices, int64_t d, int64_t rows, int64_t columns) {
  if (!matrices) return {};
  return {static_cast<T*>(matrices) + d * rows * columns, columns};
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
// every direction and group, in parallel. Dealing the sequences out in turn gives all groups the
// same work.
template <class Body> void for_tasks(const Arguments& call, const Body& body) {
  parallel_for(call.directions * call.groups, call.threads, [&](int64_t task) {
    [[maybe_unused]] const FlushSubnormals flush;
    const int64_t direction = task / call.groups, number = task % call.groups;
    std::vector<Sequence> members;
    int64_t first_row = 0;
    for (int64_t b = 0; b < call.batch; b++) {
      const int64_t* entry = call.sequences + 4 * b;
      if (b % call.groups < number) first_row += entry[2];
      if (b % call.groups != number) continue;
      const int64_t first = entry[1] + (direction ? entry[2] - 1 : 0);
      members.push_back({entry[0], first, entry[2], entry[3]});
    }
    body(direction, Group(std::move(members), direction ? -1 : 1), number, first_row);
  });
}

// The gate to which a block of the projection's gradients belongs: a GRU's are n, r, z.
template <class Cell> int64_t gate_of(int64_t block) {
  return (block + Cell::gates - Cell::recurrent) % Cell::gates;
}

// weights: weight_ih, weight_hh, bias_ih and bias_hh of a direction.
template <class Cell, class E>
ForwardWeights<E> pack_forward(void* const* weights, int64_t inputs, int64_t hidden) {
  using T = Number<E>;
  const T *input = static_cast<T*>(weights[0]), *recurrent = static_cast<T*>(weights[1]);
  const T *bias = static_cast<T*>(weights[2]), *second_bias = static_cast<T*>(weights[3]);
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
BackwardWeights<E> pack_backward(void* const* weights, int64_t inputs, int64_t hidden,
                                 bool with_inputs) {
  using T = Number<E>;
  const T *input = static_cast<T*>(weights[0]), *recurrent = static_cast<T*>(weights[1]);
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

// The matrices of direction `d` that both passes read or write.
template <class Cell, class E, class T = Number<E>>
Layer<T, E> layer_of(const Arguments& call, int64_t d, int64_t first_row) {
  Layer<T, E> layer{call.inputs, call.hidden, round_up(call.hidden, kLanes<T>), call.cell == 3};
  layer.rows = part<T>(call.rows, 0, call.inputs, 1);
  const int64_t row_size = Cell::kept * layer.width;
  layer.kept = page<E>(call.kept, d, call.kept_rows, row_size);
  if (layer.kept.data) layer.kept.data += first_row * row_size;
  layer.initial_hidden = page<T>(call.initial_hidden, d, call.batch, call.hidden);
  layer.initial_cell = page<T>(call.initial_cell, d, call.batch, call.hidden);
  layer.final_hidden = page<T>(call.final_hidden, d, call.batch, call.hidden);
  layer.final_cell = page<T>(call.final_cell, d, call.batch, call.hidden);
  return layer;
}

template <class Cell, class E> void forward(const Arguments& call) {
  using T = Number<E>;
  const int64_t row_size = Cell::kept * round_up(call.hidden, kLanes<T>);
  use_huge_pages(call.output, call.num_rows * call.directions * call.hidden * sizeof(T));
  use_huge_pages(call.kept, call.directions * call.kept_rows * row_size * sizeof(E));
  std::vector<ForwardWeights<E>> packed(call.directions);
  parallel_for(call.directions, call.threads, [&](int64_t d) {
    packed[d] = pack_forward<Cell, E>(call.weights + 4 * d, call.inputs, call.hidden);
  });
  for_tasks(call, [&](int64_t d, const Group& group, int64_t, int64_t first_row) {
    Layer<T, E> layer = layer_of<Cell, E>(call, d, first_row);
    layer.output = part<T>(call.output, d, call.hidden, call.directions);
    run_forward<Cell>(layer, group, packed[d]);
  });
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

template <class Cell, class E> void backward(const Arguments& call) {
  using T = Number<E>;
  const int64_t inputs = call.inputs, hidden = call.hidden;
  const int64_t width = round_up(hidden, kLanes<T>), input_width = round_up(inputs, kLanes<T>);
  use_huge_pages(call.grad_rows, call.directions * call.num_rows * inputs * sizeof(T));
  std::vector<BackwardWeights<E>> packed(call.directions);
  parallel_for(call.directions, call.threads, [&](int64_t d) {
    packed[d] = pack_backward<Cell, E>(call.weights + 4 * d, inputs, hidden, call.grad_rows);
  });
  for_tasks(call, [&](int64_t d, const Group& group, int64_t number, int64_t first_row) {
    Layer<T, E> layer = layer_of<Cell, E>(call, d, first_row);
    layer.grad_output = part<T>(call.output, d, hidden, call.directions);
    layer.grad_rows = page<T>(call.grad_rows, d, call.num_rows, inputs);
    WeightGradients<T> sums(Cell::gates * width, input_width, width);
    run_backward<Cell>(layer, group, packed[d], sums);
    const auto to = [&](int i, int64_t columns) {
      T* grad = static_cast<T*>(call.grad_weights[4 * d + i]);
      return grad + number * Cell::gates * hidden * columns;
    };
    write_gradient<Cell>(sums.input, input_width, width, hidden, true, to(0, inputs), inputs);
    write_gradient<Cell>(sums.hidden, width, width, hidden, false, to(1, hidden), hidden);
    write_gradient<Cell>(sums.input_bias, 1, width, hidden, true, to(2, 1), 1);
    write_gradient<Cell>(sums.hidden_bias, 1, width, hidden, false, to(3, 1), 1);
  });
}

// Returns whether there was enough memory.
template <class Pass> bool run(const Arguments& call, const Pass& pass) {
  try {
    with_types(call.cell, call.precision, pass);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace
}  // namespace seqbelt

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int64_t seqbelt_kept_bytes(int64_t cell, int64_t precision, int64_t hidden) {
  int64_t num_bytes = 0;
  seqbelt::with_types(cell, precision, [&](auto kind, auto operand) {
    using E = decltype(operand);
    const int64_t width = seqbelt::round_up(hidden, seqbelt::kLanes<seqbelt::Number<E>>);
    num_bytes = decltype(kind)::kept * width * sizeof(E);
  });
  return num_bytes;
}

EXPORTED bool seqbelt_forward(const Arguments* call) {
  return seqbelt::run(*call, [&](auto kind, auto operand) {
    seqbelt::forward<decltype(kind), decltype(operand)>(*call);
  });
}

EXPORTED bool seqbelt_backward(const Arguments* call) {
  return seqbelt::run(*call, [&](auto kind, auto operand) {
    seqbelt::backward<decltype(kind), decltype(operand)>(*call);
  });
}
