// Products of matrices. Where the result is small, k is cut into shares, and `add_up` brings their results together.

// y (batch, shares, m, n) = a (batch, m, k) b (batch, k, n), each share over `share` steps of k
KERNEL matmul(int m, int n, int k, int shares, int share, Index a_batch, Index a_row, Index a_column, Index b_batch,
              Index b_row, Index b_column, const REAL* a, const REAL* b, const REAL* bias, REAL* y) {
  __shared__ Tiles tiles;
  const int batch = blockIdx.z / shares, first = blockIdx.z % shares * share, last = smaller(k, first + share);
  const Rows to = {y + (Index)blockIdx.z * m * n, bias, m, n};
  a += batch * a_batch, b += batch * b_batch;
  const Matrix<true> along_a = {a, a_row, a_column, m, k}, along_b = {b, b_column, b_row, n, k};
  const Matrix<false> across_a = {a, a_row, a_column, m, k}, across_b = {b, b_column, b_row, n, k};
  if (a_column == 1 && b_row == 1) product(along_a, along_b, first, last, to, tiles);
  else if (a_column == 1) product(along_a, across_b, first, last, to, tiles);
  else if (b_row == 1) product(across_a, along_b, first, last, to, tiles);
  else product(across_a, across_b, first, last, to, tiles);
}

// y (batch, size) = the sum of parts (batch, shares, size) over the shares, + bias
KERNEL add_up(Index n, int shares, int size, int columns, const REAL* parts, const REAL* bias, REAL* y) {
  FOR_EACH(i, n) {
    const REAL* part = parts + (i / size * shares) * size + i % size;
    REAL sum = bias ? bias[i % columns] : REAL(0);
    for (int s = 0; s < shares; s++) sum += part[(Index)s * size];
    y[i] = sum;
  }
}
