// Batch normalisation of rows (n, C), in two passes forward and two backward, and sums over rows.
//
// A block looks at LANES neighbouring channels and at `chunk` rows; its LINES threads of a channel share those rows. The
// first pass leaves a line of partial results for each chunk, the second brings them together, in the same order every
// time, and writes the values.

#define LANES 32
#define LINES 8

struct Part {  // which channel and rows this thread works on
  int lane, line, channel, first, last;
  bool inside;
  __device__ Part(int n, int channels, int chunk) {
    lane = threadIdx.x % LANES, line = threadIdx.x / LANES;
    channel = blockIdx.x * LANES + lane, inside = channel < channels;
    first = blockIdx.y * chunk, last = smaller(n, first + chunk);
  }
};

// The sum over the lines of a block, for each lane.
__device__ inline REAL over_lines(REAL value, REAL (*shared)[LANES], const Part& part) {
  __syncthreads();  // others may still read what the last sum was
  shared[part.line][part.lane] = value;
  __syncthreads();
  REAL sum = 0;
  for (int i = 0; i < LINES; i++) sum += shared[i][part.lane];
  return sum;
}

// The sum over all chunks of what the first pass left, for each lane.
__device__ inline REAL over_chunks(const REAL* partial, int chunks, int channels, REAL (*shared)[LANES], const Part& part) {
  REAL sum = 0;
  if (part.inside)
    for (int j = part.line; j < chunks; j += LINES) sum += partial[(Index)j * channels + part.channel];
  return over_lines(sum, shared, part);
}

// out (chunks, C): the sums of each chunk's rows
KERNEL channel_sums(int n, int channels, int chunk, const REAL* x, REAL* out) {
  __shared__ REAL shared[LINES][LANES];
  const Part part(n, channels, chunk);
  REAL sum = 0;
  if (part.inside)
    for (int i = part.first + part.line; i < part.last; i += LINES) sum += x[(Index)i * channels + part.channel];
  sum = over_lines(sum, shared, part);
  if (part.inside && part.line == 0) out[(Index)blockIdx.y * channels + part.channel] = sum;
}

// means, spreads (chunks, C): each chunk's mean, and the sum of the squared distances from it
KERNEL batch_moments(int n, int channels, int chunk, const REAL* x, REAL* means, REAL* spreads) {
  __shared__ REAL shared[LINES][LANES];
  const Part part(n, channels, chunk);
  REAL sum = 0, spread = 0;
  if (part.inside)
    for (int i = part.first + part.line; i < part.last; i += LINES) sum += x[(Index)i * channels + part.channel];
  const REAL mean = over_lines(sum, shared, part) / (part.last - part.first);
  if (part.inside)
    for (int i = part.first + part.line; i < part.last; i += LINES) {  // which the cache still holds
      const REAL distance = x[(Index)i * channels + part.channel] - mean;
      spread += distance * distance;
    }
  spread = over_lines(spread, shared, part);
  if (part.inside && part.line == 0) {
    means[(Index)blockIdx.y * channels + part.channel] = mean;
    spreads[(Index)blockIdx.y * channels + part.channel] = spread;
  }
}

// y = (x - mean) inv_std weight + bias; weight and bias may be null
KERNEL batch_norm(int n, int channels, int chunk, double eps, const REAL* x, const REAL* weight, const REAL* bias,
                  const REAL* means, const REAL* spreads, REAL* y, REAL* mean_out, REAL* inv_std_out) {
  __shared__ REAL shared[LINES][LANES];
  const Part part(n, channels, chunk);
  const int chunks = gridDim.y;
  REAL sum = 0;  // of the chunks' means, each as often as the chunk has rows
  if (part.inside)
    for (int j = part.line; j < chunks; j += LINES)
      sum += means[(Index)j * channels + part.channel] * smaller(chunk, n - j * chunk);
  const REAL mean = over_lines(sum, shared, part) / n;
  REAL spread = 0;  // Chan, Golub and LeVeque (1983)
  if (part.inside)
    for (int j = part.line; j < chunks; j += LINES) {
      const REAL distance = means[(Index)j * channels + part.channel] - mean;
      spread += spreads[(Index)j * channels + part.channel] + distance * distance * smaller(chunk, n - j * chunk);
    }
  const REAL inv_std = 1 / sqrt(over_lines(spread, shared, part) / n + REAL(eps));
  if (!part.inside) return;
  if (blockIdx.y == 0 && part.line == 0) mean_out[part.channel] = mean, inv_std_out[part.channel] = inv_std;
  const REAL scale = weight ? inv_std * weight[part.channel] : inv_std, shift = bias ? bias[part.channel] : REAL(0);
  for (int i = part.first + part.line; i < part.last; i += LINES) {
    const Index at = (Index)i * channels + part.channel;
    y[at] = (x[at] - mean) * scale + shift;
  }
}

// What running statistics become that move by `momentum` towards a batch's mean and unbiased variance, (C,) each
KERNEL running_statistics(Index channels, double momentum, double eps, double unbiased, const REAL* running_mean,
                          const REAL* running_var, const REAL* mean, const REAL* inv_std, REAL* new_mean, REAL* new_var) {
  const REAL take = momentum, keep = 1 - momentum;
  FOR_EACH(i, channels) {
    const REAL var = 1 / (inv_std[i] * inv_std[i]) - REAL(eps);  // rounding can leave a constant channel below 0
    new_mean[i] = keep * running_mean[i] + take * mean[i];
    new_var[i] = keep * running_var[i] + take * larger(var, 0) * REAL(unbiased);
  }
}

// totals, moments (chunks, C): the sums of dy and of dy (x - mean) over each chunk's rows
KERNEL batch_norm_sums(int n, int channels, int chunk, const REAL* dy, const REAL* x, const REAL* mean, REAL* totals,
                       REAL* moments) {
  __shared__ REAL shared[LINES][LANES];
  const Part part(n, channels, chunk);
  REAL total = 0, moment = 0;
  if (part.inside)
    for (int i = part.first + part.line; i < part.last; i += LINES) {
      const Index at = (Index)i * channels + part.channel;
      total += dy[at];
      moment += dy[at] * (x[at] - mean[part.channel]);
    }
  total = over_lines(total, shared, part);
  moment = over_lines(moment, shared, part);
  if (part.inside && part.line == 0) {
    totals[(Index)blockIdx.y * channels + part.channel] = total;
    moments[(Index)blockIdx.y * channels + part.channel] = moment;
  }
}

// dx = scale (dy - dbias / n - (x - mean) inv_std dweight / n), with scale = inv_std weight; weight may be null
KERNEL batch_norm_grad(int n, int channels, int chunk, const REAL* dy, const REAL* x, const REAL* weight, const REAL* mean,
                       const REAL* inv_std, const REAL* totals, const REAL* moments, REAL* dx, REAL* dweight, REAL* dbias) {
  __shared__ REAL shared[LINES][LANES];
  const Part part(n, channels, chunk);
  const REAL total = over_chunks(totals, gridDim.y, channels, shared, part);
  const REAL moment = over_chunks(moments, gridDim.y, channels, shared, part);
  if (!part.inside) return;
  const REAL centre = mean[part.channel], steep = inv_std[part.channel], gain = moment * steep;
  if (blockIdx.y == 0 && part.line == 0) dweight[part.channel] = gain, dbias[part.channel] = total;
  const REAL scale = weight ? steep * weight[part.channel] : steep, slope = steep * gain / n, shift = total / n;
  for (int i = part.first + part.line; i < part.last; i += LINES) {
    const Index at = (Index)i * channels + part.channel;
    dx[at] = scale * (dy[at] - shift - (x[at] - centre) * slope);
  }
}
