// The equations of the recurrent cells, for one vector of units at a time.
#pragma once

#include "products.h"

namespace seqbelt {

template <class T> struct Matrix {
  T* data = nullptr;
  int64_t stride = 0;
  T* at(int64_t row, int64_t column = 0) const { return data + row * stride + column; }
};

// Rows are steps, but in the states at the start and at the end there is one row a sequence.
template <class T> struct Direction {
  int64_t hidden, stride;  // stride: rows from one step to the next, 1 or -1
  Matrix<T> gates;         // projections, overwritten by activations if training
  Matrix<T> output;        // hidden states
  Matrix<T> kept;          // if training; LSTM: cell states, GRU: recurrent part of the candidate
  Matrix<T> initial_hidden, initial_cell;
  Matrix<T> final_hidden, final_cell;  // backward: gradients in, those of the initial states out
  Matrix<T> grad_output, grad_gates, grad_kept;  // grad_kept: GRU only
  const T* candidate_bias;                       // GRU: bias inside the reset product
  bool rectified;                                // RNN: relu instead of tanh
};

// One vector of units of one sequence at one step; `count` of its lanes are units of the layer.
template <class T> struct Place {
  const Direction<T>& layer;
  int64_t row, unit, count;
  T* recurrent_grads = nullptr;  // backward: gradients of W_hh h, one block of units a gate

  Vector<T> gate(int g) const { return load(layer.gates.at(row, g * layer.hidden + unit), count); }
  void set_gate(int g, Vector<T> value) const {
    store(layer.gates.at(row, g * layer.hidden + unit), value, count);
  }
  Vector<T> kept() const { return load(layer.kept.at(row, unit), count); }
  void keep(Vector<T> value) const { store(layer.kept.at(row, unit), value, count); }
  void set_grads(int g, Vector<T> projected, Vector<T> recurrent) const {
    store(layer.grad_gates.at(row, g * layer.hidden + unit), projected, count);
    store(recurrent_grads + g * layer.hidden + unit, recurrent, count);
  }
};

// A cell's `forward` turns the recurrent sums into the new hidden state. Its `backward` turns the
// gradient of the hidden state into those of the gates and returns what reaches the previous
// hidden state directly, not through the weights. `cell` points to the running (gradient of the)
// cell state of an LSTM.
struct Lstm {
  static constexpr int gates = 4, columns = 1;

  template <class T>
  static ALWAYS_INLINE Vector<T> forward(const Place<T>& at, const Vector<T>* sums, const T*,
                                         T* cell) {
    const Vector<T> input = sigmoid(at.gate(0) + sums[0]), forget = sigmoid(at.gate(1) + sums[1]);
    const Vector<T> proposal = hyperbolic_tangent(at.gate(2) + sums[2]);
    const Vector<T> opening = sigmoid(at.gate(3) + sums[3]);
    const Vector<T> memory = forget * load(cell) + input * proposal;
    store(cell, memory);
    if (at.layer.kept.data) {
      at.set_gate(0, input), at.set_gate(1, forget), at.set_gate(2, proposal);
      at.set_gate(3, opening), at.keep(memory);
    }
    return opening * hyperbolic_tangent(memory);
  }

  template <class T>
  static ALWAYS_INLINE Vector<T> backward(const Place<T>& at, Vector<T> grad, const T*,
                                          const T* previous_cell, T* cell) {
    const Vector<T> input = at.gate(0), forget = at.gate(1), proposal = at.gate(2);
    const Vector<T> opening = at.gate(3), squashed = hyperbolic_tangent(at.kept());
    const Vector<T> memory = load(cell) + grad * opening * (1 - squashed * squashed);
    const Vector<T> grads[4] = {
        memory * proposal * input * (1 - input),
        memory * load(previous_cell, at.count) * forget * (1 - forget),
        memory * input * (1 - proposal * proposal), grad * squashed * opening * (1 - opening)};
    for (int g = 0; g < 4; g++) at.set_grads(g, grads[g], grads[g]);
    store<T>(cell, memory * forget);
    return Vector<T>{};
  }
};

struct Gru {
  static constexpr int gates = 3, columns = 1;

  template <class T>
  static ALWAYS_INLINE Vector<T> forward(const Place<T>& at, const Vector<T>* sums,
                                         const T* previous, T*) {
    const Vector<T> reset = sigmoid(at.gate(0) + sums[0]), update = sigmoid(at.gate(1) + sums[1]);
    const Vector<T> recurrent = sums[2] + load(at.layer.candidate_bias + at.unit, at.count);
    const Vector<T> candidate = hyperbolic_tangent(at.gate(2) + reset * recurrent);
    if (at.layer.kept.data) {
      at.set_gate(0, reset), at.set_gate(1, update), at.set_gate(2, candidate);
      at.keep(recurrent);
    }
    return candidate + update * (load(previous, at.count) - candidate);
  }

  template <class T>
  static ALWAYS_INLINE Vector<T> backward(const Place<T>& at, Vector<T> grad, const T* previous,
                                          const T*, T*) {
    const Vector<T> reset = at.gate(0), update = at.gate(1), candidate = at.gate(2);
    const Vector<T> candidate_grad = grad * (1 - update) * (1 - candidate * candidate);
    const Vector<T> update_grad =
        grad * (load(previous, at.count) - candidate) * update * (1 - update);
    const Vector<T> reset_grad = candidate_grad * at.kept() * reset * (1 - reset);
    const Vector<T> recurrent_grad = candidate_grad * reset;
    at.set_grads(0, reset_grad, reset_grad), at.set_grads(1, update_grad, update_grad);
    at.set_grads(2, candidate_grad, recurrent_grad);
    store(at.layer.grad_kept.at(at.row, at.unit), recurrent_grad, at.count);
    return grad * update;
  }
};

struct Rnn {
  static constexpr int gates = 1, columns = 4;

  template <class T>
  static ALWAYS_INLINE Vector<T> forward(const Place<T>& at, const Vector<T>* sums, const T*, T*) {
    const Vector<T> sum = at.gate(0) + sums[0], zero{};
    // Written so that NaN stays NaN.
    return at.layer.rectified ? (sum < zero ? zero : sum) : hyperbolic_tangent(sum);
  }

  template <class T>
  static ALWAYS_INLINE Vector<T> backward(const Place<T>& at, Vector<T> grad, const T*, const T*,
                                          T*) {
    const Vector<T> state = load(at.layer.output.at(at.row, at.unit), at.count), zero{};
    const Vector<T> passed = at.layer.rectified ? (state > zero ? grad : zero)
                                                : grad * (1 - state * state);
    at.set_grads(0, passed, passed);
    return zero;
  }
};

}  // namespace seqbelt
