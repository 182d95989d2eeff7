// The equations of the recurrent cells, for one vector of units at a time.
#pragma once

#include "products.h"

namespace seqbelt {

// One vector of units of the row that training keeps of a step: one block of units each for the
// gates and what else a cell lists below, last the hidden state. No row, nothing is kept.
template <class E> struct Kept {
  E* row;
  int64_t width;  // of a block
  Vector<E> get(int block) const { return load(row + block * width); }
  void set(int block, Vector<E> value) const { store(row + block * width, value); }
};

// One vector of units of the gradients of the gates: those that reach the input projection begin
// at block 0, those that reach the recurrent product at `Cell::recurrent`.
template <class E> using Gradients = Kept<E>;

// A cell's `forward` turns the sums of a step (projection and recurrent product) into the new
// hidden state. Its `backward` turns the gradient of the hidden state into those of the gates and
// returns what reaches the previous hidden state directly, not through the weights. `cell` points
// to the running (gradient of the) cell state of an LSTM.
struct Lstm {
  static constexpr int gates = 4, columns = 1, recurrent = 0, grads = 4;
  static constexpr int memory = 4, kept = 6;  // i, f, g, o, cell state, hidden state

  template <class E, class T>
  static ALWAYS_INLINE Vector<T> forward(Kept<E> keep, const Vector<T>* sums, const T*,
                                         Vector<T>, T* cell, bool) {
    const Vector<T> input = sigmoid(sums[0]), forget = sigmoid(sums[1]);
    const Vector<T> proposal = hyperbolic_tangent(sums[2]), opening = sigmoid(sums[3]);
    const Vector<T> memory = forget * load(cell) + input * proposal;
    store(cell, memory);
    if (keep.row) {
      keep.set(0, input), keep.set(1, forget), keep.set(2, proposal), keep.set(3, opening);
      keep.set(4, memory);
    }
    return opening * hyperbolic_tangent(memory);
  }

  template <class E, class T>
  static ALWAYS_INLINE Vector<T> backward(Kept<E> kept, Gradients<E> grads, Vector<T> grad,
                                          Vector<T>, Vector<T> previous_cell, T* cell, bool) {
    const Vector<T> input = kept.get(0), forget = kept.get(1), proposal = kept.get(2);
    const Vector<T> opening = kept.get(3), squashed = hyperbolic_tangent(kept.get(4));
    const Vector<T> memory = load(cell) + grad * opening * (1 - squashed * squashed);
    grads.set(0, memory * proposal * input * (1 - input));
    grads.set(1, memory * previous_cell * forget * (1 - forget));
    grads.set(2, memory * input * (1 - proposal * proposal));
    grads.set(3, grad * squashed * opening * (1 - opening));
    store(cell, memory * forget);
    return Vector<T>{};
  }
};

// The candidate's recurrent sum is scaled by the reset gate, so it is kept apart from the
// projection and has a gradient of its own.
struct Gru {
  static constexpr int gates = 3, columns = 1, recurrent = 1, grads = 4;  // n, r, z, recurrent n
  static constexpr int memory = 0, kept = 5;  // r, z, n, recurrent part of n, hidden state

  template <class E, class T>
  static ALWAYS_INLINE Vector<T> forward(Kept<E> keep, const Vector<T>* sums, const T* projection,
                                         Vector<T> previous, T*, bool) {
    const Vector<T> reset = sigmoid(sums[0]), update = sigmoid(sums[1]), recurrent = sums[2];
    const Vector<T> candidate =
        hyperbolic_tangent(load(projection + 2 * kLanes<T>) + reset * recurrent);
    if (keep.row) {
      keep.set(0, reset), keep.set(1, update), keep.set(2, candidate), keep.set(3, recurrent);
    }
    return candidate + update * (previous - candidate);
  }

  template <class E, class T>
  static ALWAYS_INLINE Vector<T> backward(Kept<E> kept, Gradients<E> grads, Vector<T> grad,
                                          Vector<T> previous, Vector<T>, T*, bool) {
    const Vector<T> reset = kept.get(0), update = kept.get(1), candidate = kept.get(2);
    const Vector<T> candidate_grad = grad * (1 - update) * (1 - candidate * candidate);
    grads.set(0, candidate_grad);
    grads.set(1, candidate_grad * kept.get(3) * reset * (1 - reset));
    grads.set(2, grad * (previous - candidate) * update * (1 - update));
    grads.set(3, candidate_grad * reset);
    return grad * update;
  }
};

struct Rnn {
  static constexpr int gates = 1, columns = 4, recurrent = 0, grads = 1;
  static constexpr int memory = 0, kept = 1;  // hidden state

  template <class E, class T>
  static ALWAYS_INLINE Vector<T> forward(Kept<E>, const Vector<T>* sums, const T*, Vector<T>, T*,
                                         bool rectified) {
    const Vector<T> zero{};
    // Written so that NaN stays NaN.
    return rectified ? (*sums < zero ? zero : *sums) : hyperbolic_tangent(*sums);
  }

  template <class E, class T>
  static ALWAYS_INLINE Vector<T> backward(Kept<E> kept, Gradients<E> grads, Vector<T> grad,
                                          Vector<T>, Vector<T>, T*, bool rectified) {
    const Vector<T> state = kept.get(0), zero{};
    grads.set(0, rectified ? (state > zero ? grad : zero) : grad * (1 - state * state));
    return zero;
  }
};

}  // namespace seqbelt
