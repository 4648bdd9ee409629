// Products: result(i, j) = the sum over k of a(i, k) b(j, k), where `a` and `b` say how to read their numbers.
//
// A block makes TILE x TILE numbers of the result, DEPTH steps of k at a time: its threads bring TILE x DEPTH numbers of
// either side into shared memory, while those of the next steps are already on their way into registers. With TF32 defined
// the tensor cores multiply, with ten bits of mantissa, from sm_80 on.

#define TILE 64
#define DEPTH 16
#define PIECE 4  // a thread makes PIECE x PIECE numbers, and brings PIECE of either side

#if defined(TF32) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#undef TF32
#endif

// Of a line of shared memory: what a warp reads at a time lies in different banks.
#ifdef TF32
#define WIDTH (TILE + 2 * PIECE)
#else
#define WIDTH (TILE + PIECE)
#endif

// A place in a row or a column of one side of a product; what lies outside is 0.
struct Place {
  Index offset;
  int h, w;
  bool inside;
};

// A matrix anywhere in memory. ALONG: neighbours in memory are those along k.
template <bool ALONG> struct Matrix {
  static const bool along = ALONG;
  const REAL* data;
  Index row_step, column_step;
  int rows, columns;

  __device__ Place row(int i) const { return {i * row_step, 0, 0, i < rows}; }
  __device__ Place column(int k) const { return {k * column_step, 0, 0, k < columns}; }
  __device__ REAL at(const Place& row, const Place& column) const {
    return row.inside && column.inside ? data[row.offset + column.offset] : REAL(0);
  }
};

// The loads of one thread: PIECE numbers of TILE x DEPTH, in an order in which neighbouring threads read neighbours.
template <class Side> struct Loads {
  const Side side;
  int row, column;  // this thread's first
  Place places[Side::along ? PIECE : 1];
  REAL values[PIECE];

  __device__ Loads(const Side& side, int first_row) : side(side) {
    row = Side::along ? threadIdx.x / DEPTH : threadIdx.x % TILE;
    column = Side::along ? threadIdx.x % DEPTH : threadIdx.x / TILE;
    for (int s = 0; s < (Side::along ? PIECE : 1); s++) places[s] = side.row(first_row + row + s * (THREADS / DEPTH));
  }

  // From column k on, up to `last`.
  __device__ void fetch(int k, int last) {
    if constexpr (Side::along) {
      const Place there = place(k + column, last);
      for (int s = 0; s < PIECE; s++) values[s] = side.at(places[s], there);
    } else {
      for (int s = 0; s < PIECE; s++) values[s] = side.at(places[0], place(k + column + s * (THREADS / TILE), last));
    }
  }
  __device__ Place place(int k, int last) const { return k < last ? side.column(k) : Place{0, 0, 0, false}; }

  __device__ void put(REAL (*shared)[WIDTH]) const {
    for (int s = 0; s < PIECE; s++)
      if constexpr (Side::along) shared[column][row + s * (THREADS / DEPTH)] = values[s];
      else shared[column + s * (THREADS / TILE)][row] = values[s];
  }
};

#ifdef TF32

#ifndef SIMULATED
__device__ inline unsigned rounded(float x) {
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

// c (16, 8) += a (16, 8) b (8, 8), spread over the threads of a warp as the PTX manual says of m16n8k8
__device__ inline void multiply_add(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// Eight warps, four above each other and two side by side: each makes 16 x 32 numbers, in four parts of 16 x 8.
struct Sums {
  REAL values[PIECE][4] = {};
  int top, left, group, lane;

  __device__ Sums() {
    const int warp = threadIdx.x / 32;
    top = warp % 4 * 16, left = warp / 4 * 32, group = threadIdx.x % 32 / 4, lane = threadIdx.x % 4;
  }
  __device__ void add(REAL (*as)[WIDTH], REAL (*bs)[WIDTH]) {
    for (int k = 0; k < DEPTH; k += 8) {
      const int row = top + group, early = k + lane, late = early + 4;
      const unsigned a[4] = {rounded(as[early][row]), rounded(as[early][row + 8]), rounded(as[late][row]),
                             rounded(as[late][row + 8])};
      for (int part = 0; part < PIECE; part++) {
        const int column = left + part * 8 + group;
        const unsigned b[2] = {rounded(bs[early][column]), rounded(bs[late][column])};
        multiply_add(values[part], a, b);
      }
    }
  }
  __device__ int row(int, int j) const { return top + group + j / 2 * 8; }
  __device__ int column(int i, int j) const { return left + i * 8 + 2 * lane + j % 2; }
};

#else

// Threads in 16 lines of 16: each makes PIECE x PIECE numbers beside each other.
struct Sums {
  REAL values[PIECE][PIECE] = {};
  int top, left;

  __device__ Sums() { top = threadIdx.x / (TILE / PIECE) * PIECE, left = threadIdx.x % (TILE / PIECE) * PIECE; }
  __device__ void add(REAL (*as)[WIDTH], REAL (*bs)[WIDTH]) {
#pragma unroll
    for (int k = 0; k < DEPTH; k++)
#pragma unroll
      for (int i = 0; i < PIECE; i++)
#pragma unroll
        for (int j = 0; j < PIECE; j++) values[i][j] += as[k][top + i] * bs[k][left + j];
  }
  __device__ int row(int i, int) const { return top + i; }
  __device__ int column(int, int j) const { return left + j; }
};

#endif

// What a block's threads share of both sides.
struct alignas(16) Tiles {  // a thread's PIECE neighbours come in one load
  REAL a[DEPTH][WIDTH], b[DEPTH][WIDTH];
};

// The part of the result that block (x, y) makes, over k from `first` to `last`; store(i, j, value) takes each number.
template <class A, class B, class Store>
__device__ void product(const A& a, const B& b, int first, int last, const Store& store, Tiles& tiles) {
  Loads<A> from_a(a, blockIdx.x * TILE);
  Loads<B> from_b(b, blockIdx.y * TILE);
  Sums sums;
  from_a.fetch(first, last), from_b.fetch(first, last);
  for (int k = first; k < last; k += DEPTH) {
    from_a.put(tiles.a), from_b.put(tiles.b);
    __syncthreads();
    from_a.fetch(k + DEPTH, last), from_b.fetch(k + DEPTH, last);
    sums.add(tiles.a, tiles.b);
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < PIECE; i++)
#pragma unroll
    for (int j = 0; j < PIECE; j++)
      store(blockIdx.x * TILE + sums.row(i, j), blockIdx.y * TILE + sums.column(i, j), sums.values[i][j]);
}

// The result (rows, columns) in C order; a bias is a number for each column.
struct Rows {
  REAL* y;
  const REAL* bias;
  int rows, columns;

  __device__ void operator()(int i, int j, REAL value) const {
    if (i < rows && j < columns) y[(Index)i * columns + j] = bias ? value + bias[j] : value;
  }
};
