// A GPU's block of threads on the CPU: each thread is a fibre, and __syncthreads() lets the others come as far. What is
// __shared__ is static, because the blocks run one after the other.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

using namespace std;

#define SIMULATED
#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(n)

struct Dim { unsigned x, y, z; };
static Dim blockIdx, blockDim, gridDim;
static const unsigned LANES_OF_A_BLOCK = 256, STACK = 1 << 16;

struct Fibre {
  jmp_buf place;
  ucontext_t start;
  vector<char> stack = vector<char>(STACK);
  Dim index;
  bool begun = false, done = false;
};
static vector<Fibre> fibres(LANES_OF_A_BLOCK);
static Fibre* running;
static jmp_buf scheduler;
static const function<void()>* job;
#define threadIdx (running->index)

static void leave() { if (!_setjmp(running->place)) _longjmp(scheduler, 1); }
static void __syncthreads() { leave(); }

static void live() {
  for (;;) {
    (*job)();
    running->done = true;
    leave();
  }
}

static void resume(Fibre& fibre) {
  running = &fibre;
  if (_setjmp(scheduler)) return;
  if (fibre.begun) _longjmp(fibre.place, 1);
  fibre.begun = true;
  getcontext(&fibre.start);
  fibre.start.uc_stack.ss_sp = fibre.stack.data(), fibre.start.uc_stack.ss_size = STACK, fibre.start.uc_link = nullptr;
  makecontext(&fibre.start, live, 0);
  setcontext(&fibre.start);
}

// Every block in turn, its threads in another order each time they have met, so that what one reads before another has
// written it is found out; false if some threads of a block wait for others that have ended.
static bool run(unsigned x, unsigned y, unsigned z, const function<void()>& kernel) {
  static unsigned turn = 1;
  gridDim = {x, y, z}, blockDim = {LANES_OF_A_BLOCK, 1, 1}, job = &kernel;
  for (unsigned i = 0; i < x * y * z; i++) {
    blockIdx = {i % x, i / x % y, i / x / y};
    for (unsigned t = 0; t < LANES_OF_A_BLOCK; t++) fibres[t].index = {t, 0, 0}, fibres[t].done = false;
    for (unsigned ended = 0; ended == 0; turn = turn * 1664525 + 1013904223) {
      const unsigned step = turn >> 16 | 1, first = turn >> 8;  // an odd step comes to each of 256 once
      for (unsigned t = 0; t < LANES_OF_A_BLOCK; t++) {
        Fibre& fibre = fibres[(first + t * step) % LANES_OF_A_BLOCK];
        resume(fibre), ended += fibre.done;
      }
      if (ended && ended < LANES_OF_A_BLOCK) return false;
    }
  }
  return true;
}

#ifdef TF32
// What the tensor core does, by the layouts in the PTX manual (m16n8k8, .tf32): thread 4 g + t of a warp holds rows g and
// g + 8 and columns t and t + 4 of a, rows t and t + 4 and column g of b, columns 2 t and 2 t + 1 of rows g and g + 8 of c.
static unsigned rounded(float x) {  // to ten bits of mantissa, ties away from zero
  unsigned bits;
  memcpy(&bits, &x, 4);
  return isfinite(x) ? (bits + 0x1000u) & ~0x1fffu : bits;
}
static float number(unsigned bits) { float x; memcpy(&x, &bits, 4); return x; }

static void multiply_add(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  static float rows[8][16][8], columns[8][8][8];
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  for (int r = 0; r < 4; r++) rows[warp][g + r % 2 * 8][t + r / 2 * 4] = number(a[r]);
  for (int r = 0; r < 2; r++) columns[warp][t + r * 4][g] = number(b[r]);
  __syncthreads();
  for (int r = 0; r < 4; r++)
    for (int k = 0; k < 8; k++) c[r] += rows[warp][g + r / 2 * 8][k] * columns[warp][k][2 * t + r % 2];
  __syncthreads();
}
#endif
