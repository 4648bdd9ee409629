// Convolutions as products whose one side is gathered from the images as it is needed; patches, and their transpose.
//
// Along an axis, position a and tap t of a kernel meet at a * stride + start + t * delta.

struct Axis {
  int size, count, stride, start, taps, delta;
};
#define AXIS(a) int a##_size, int a##_count, int a##_stride, int a##_start, int a##_taps, int a##_delta
#define AXIS_OF(a) {a##_size, a##_count, a##_stride, a##_start, a##_taps, a##_delta}

// Images (N, H, W, C) as a matrix: a row for each position, a column for each tap and channel.
struct Patches {
  static const bool along = true;
  const REAL* x;
  Axis vertical, horizontal;
  int images, channels;

  __device__ Place row(int i) const {
    const int b = i % horizontal.count, rest = i / horizontal.count, a = rest % vertical.count, n = rest / vertical.count;
    return {(Index)n * vertical.size * horizontal.size * channels, a * vertical.stride + vertical.start,
            b * horizontal.stride + horizontal.start, n < images};
  }
  __device__ Place column(int k) const {
    const int tap = k / channels, i = tap / horizontal.taps;
    return {k % channels, i * vertical.delta, tap % horizontal.taps * horizontal.delta, i < vertical.taps};
  }
  __device__ REAL at(const Place& row, const Place& column) const {
    const int h = row.h + column.h, w = row.w + column.w;
    if (!row.inside || !column.inside || h < 0 || h >= vertical.size || w < 0 || w >= horizontal.size) return 0;
    return x[row.offset + ((Index)h * horizontal.size + w) * channels + column.offset];
  }
};

// Its transpose.
struct Positions {
  static const bool along = false;
  const Patches patches;

  __device__ Place row(int i) const { return patches.column(i); }
  __device__ Place column(int k) const { return patches.row(k); }
  __device__ REAL at(const Place& row, const Place& column) const { return patches.at(column, row); }
};

// y (shares, NPQ, O) = the patches of x times weight (O, kH, kW, C)
KERNEL conv2d(AXIS(h), AXIS(w), int n, int c, int o, int share, const REAL* x, const REAL* weight, const REAL* bias, REAL* y) {
  __shared__ Tiles tiles;
  const int positions = n * h_count * w_count, k = h_taps * w_taps * c, first = blockIdx.z * share;
  const Patches patches = {x, AXIS_OF(h), AXIS_OF(w), n, c};
  const Matrix<true> kernel = {weight, k, 1, o, k};
  const Rows to = {y + (Index)blockIdx.z * positions * o, bias, positions, o};
  product(patches, kernel, first, smaller(k, first + share), to, tiles);
}

// dweight (shares, O, kH kW C) = dy (NPQ, O), transposed, times the patches of x
KERNEL conv2d_weight_grad(AXIS(h), AXIS(w), int n, int c, int o, int share, const REAL* x, const REAL* dy, REAL* dweight) {
  __shared__ Tiles tiles;
  const int positions = n * h_count * w_count, k = h_taps * w_taps * c, first = blockIdx.z * share;
  const Positions patches = {{x, AXIS_OF(h), AXIS_OF(w), n, c}};
  const Matrix<false> arriving = {dy, 1, o, o, positions};
  const Rows to = {dweight + (Index)blockIdx.z * o * k, nullptr, o, k};
  product(arriving, patches, first, smaller(positions, first + share), to, tiles);
}

// Where the windows of a convolution reach the places a * stride + phase, for all a: an axis of the small side.
__device__ inline Axis reaching(int phase, int large, int small, int kernel, int stride, int padding, int dilation, int* tap,
                                int* step) {
  int first = 0;  // the taps that meet those places: first, first + step, ...
  while (first < kernel && (phase + padding - first * dilation) % stride) first++;
  int second = first + 1;
  while (second < kernel && (phase + padding - second * dilation) % stride) second++;
  *tap = first, *step = second - first;
  const int taps = first < kernel ? (kernel - 1 - first) / *step + 1 : 0;
  return {small, (large - phase + stride - 1) / stride, 1, (phase + padding - first * dilation) / stride, taps,
          -(*step * dilation) / stride};
}

// weight (O, kH, kW, C) as a matrix: a row for each channel, a column for each tap of a phase and each O.
struct Kernel {
  static const bool along = false;
  const REAL* weight;
  int channels, outputs, taps_h, taps_w, width, height, tap_h, step_h, tap_w, step_w;

  __device__ Place row(int i) const { return {i, 0, 0, i < channels}; }
  __device__ Place column(int k) const {
    const int tap = k / outputs, i = tap_h + tap / taps_w * step_h, j = tap_w + tap % taps_w * step_w;
    return {((Index)(k % outputs) * height * width + i * width + j) * channels, 0, 0, tap < taps_h * taps_w};
  }
  __device__ REAL at(const Place& row, const Place& column) const {
    return row.inside && column.inside ? weight[row.offset + column.offset] : REAL(0);
  }
};

// The places of one phase in images (N, H, W, C).
struct Phase {
  REAL* x;
  int images, height, width, channels, top, left, stride_h, stride_w, count_h, count_w;

  __device__ void operator()(int i, int c, REAL value) const {
    const int b = i % count_w, rest = i / count_w, a = rest % count_h, n = rest / count_h;
    if (n < images && c < channels)
      x[(((Index)n * height + a * stride_h + top) * width + b * stride_w + left) * channels + c] = value;
  }
};

// dx (N, H, W, C) from dy (N, P, Q, O) and weight (O, kH, kW, C): a product for each phase, of which there are
// stride_h * stride_w, so that no tap is looked at in vain.
KERNEL conv2d_input_grad(int n, int height, int width, int c, int p, int q, int o, int kernel_h, int kernel_w, int stride_h,
                         int stride_w, int padding_h, int padding_w, int dilation_h, int dilation_w, const REAL* dy,
                         const REAL* weight, REAL* dx) {
  __shared__ Tiles tiles;
  const int top = blockIdx.z / stride_w, left = blockIdx.z % stride_w;
  if (top >= height || left >= width) return;
  int tap_h, step_h, tap_w, step_w;
  const Axis h = reaching(top, height, p, kernel_h, stride_h, padding_h, dilation_h, &tap_h, &step_h);
  const Axis w = reaching(left, width, q, kernel_w, stride_w, padding_w, dilation_w, &tap_w, &step_w);
  const Patches arriving = {dy, h, w, n, o};
  const Kernel kernel = {weight, c, o, h.taps, w.taps, kernel_w, kernel_h, tap_h, step_h, tap_w, step_w};
  const Phase to = {dx, n, height, width, c, top, left, stride_h, stride_w, h.count, w.count};
  product(arriving, kernel, 0, h.taps * w.taps * o, to, tiles);
}

// Every window that a convolution looks at, side by side: (N, H, W, C) -> (N, P, Q, kH, kW, C), of `size` numbers
KERNEL patches(Index size, AXIS(h), AXIS(w), int c, const REAL* x, REAL* y) {
  FOR_EACH(at, size) {
    Index rest = at / c;
    const int j = rest % w_taps, i = (rest /= w_taps) % h_taps, q = (rest /= h_taps) % w_count, p = (rest /= w_count) % h_count;
    const Index n = rest / h_count;
    const int h = p * h_stride + h_start + i * h_delta, w = q * w_stride + w_start + j * w_delta;
    const bool inside = h >= 0 && h < h_size && w >= 0 && w < w_size;
    y[at] = inside ? x[((n * h_size + h) * w_size + w) * c + at % c] : REAL(0);
  }
}

// The transpose of `patches`, as a gather: (N, P, Q, kH, kW, C) -> (N, H, W, C), of `size` numbers
KERNEL fold(Index size, AXIS(h), AXIS(w), int c, const REAL* y, REAL* x) {
  FOR_EACH(at, size) {
    Index rest = at / c;
    const int w = rest % w_size, h = (rest /= w_size) % h_size;
    const Index n = rest / h_size;
    REAL sum = 0;
    for (int i = 0; i < h_taps; i++) {
      const int down = h - h_start - i * h_delta;
      if (down < 0 || down % h_stride || down / h_stride >= h_count) continue;
      for (int j = 0; j < w_taps; j++) {
        const int right = w - w_start - j * w_delta;
        if (right < 0 || right % w_stride || right / w_stride >= w_count) continue;
        const Index window = (n * h_count + down / h_stride) * w_count + right / w_stride;
        sum += y[((window * h_taps + i) * w_taps + j) * c + at % c];
      }
    }
    x[at] = sum;
  }
}

// y (rows, width): in each row the sum of those rows of x (n, width) whose index is the row's
KERNEL scatter_rows(Index size, int n, int rows, int width, const Index* index, const REAL* x, REAL* y) {
  FOR_EACH(at, size) {
    const Index row = at / width;
    REAL sum = 0;
    for (int i = 0; i < n; i++)
      if ((index[i] < 0 ? index[i] + rows : index[i]) == row) sum += x[(Index)i * width + at % width];
    y[at] = sum;
  }
}
