// Activations with their gradients, losses on logits, and Adam: one pass each over flat arrays.

KERNEL relu(Index n, const REAL* x, REAL* y) {
  FOR_EACH(i, n) y[i] = larger(x[i], REAL(0));
}

KERNEL leaky_relu(Index n, double slope, const REAL* x, REAL* y) {
  const REAL a = slope;  // from 0 to 1
  FOR_EACH(i, n) y[i] = larger(x[i], a * x[i]);
}

// dy where x is positive, else slope * dy
KERNEL leaky_relu_grad(Index n, double slope, const REAL* x, const REAL* dy, REAL* dx) {
  const REAL a = slope;
  FOR_EACH(i, n) dx[i] = x[i] > 0 ? dy[i] : a * dy[i];
}

KERNEL tanh_grad(Index n, const REAL* y, const REAL* dy, REAL* dx) {
  FOR_EACH(i, n) dx[i] = dy[i] * (1 - y[i] * y[i]);
}

// Kingma and Ba's algorithm 1. The rate and the number of the step, from 1, lie on the device, so that a captured step counts on.
KERNEL adam(Index n, const REAL* rate, const double* step, double beta1, double beta2, double eps, const REAL* grad,
            REAL* value, REAL* m, REAL* v) {
  const double left1 = 1 - pow(beta1, *step), left2 = 1 - pow(beta2, *step);
  const REAL pace = *rate / left1, spread = 1 / sqrt(left2), small = eps;
  const REAL keep1 = beta1, take1 = 1 - beta1, keep2 = beta2, take2 = 1 - beta2;
  FOR_EACH(i, n) {
    const REAL g = grad[i];
    const REAL first = m[i] = keep1 * m[i] + take1 * g;
    const REAL second = v[i] = keep2 * v[i] + take2 * g * g;
    value[i] -= pace * first / (sqrt(second) * spread + small);
  }
}

// The mean over all logits of max(x, 0) - t x + log(1 + exp(-|x|)), by one block; a target that is null is the same
// number t for all.
KERNEL bce_with_logits(Index n, double t, const REAL* x, const REAL* target, REAL* y) {
  __shared__ double sums[THREADS];
  double sum = 0;
  for (Index i = threadIdx.x; i < n; i += blockDim.x) {
    const REAL size = fabs(x[i]);
    sum += larger(x[i], REAL(0)) - (target ? target[i] : REAL(t)) * x[i] + log1p(exp(-size));
  }
  sums[threadIdx.x] = sum;
  for (int half = THREADS / 2; half; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *y = sums[0] / n;
}

// dL/dx = dL/dy (sigmoid(x) - t) / n
KERNEL bce_with_logits_grad(Index n, double t, const REAL* dy, const REAL* x, const REAL* target, REAL* dx) {
  const REAL share = *dy / n;
  FOR_EACH(i, n) {
    const REAL small = exp(-fabs(x[i]));  // nothing overflows
    const REAL sigmoid = (x[i] < 0 ? small : REAL(1)) / (1 + small);
    dx[i] = (sigmoid - (target ? target[i] : REAL(t))) * share;
  }
}
