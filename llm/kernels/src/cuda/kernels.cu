// The operations on a GPU, each in one or two passes over memory; compiled by NVRTC when the program first uses them, and
// by the C++ compiler for tests without a GPU (`shim/cuda_on_cpu.cc`). Numbers are f32 (`wide`) or bf16, read eight at a
// time, computed with in f32 and rounded once. Rows may lie apart (`stride`, in numbers) and start at multiples of 16
// bytes. One block works on one row.

typedef long long i64;
typedef unsigned int u32;
typedef unsigned short u16;

#define LOWEST (-3.4e38f)

// Where a thread reads eight of a row's numbers.
#define EACH_OF_A_ROW(columns) for (i64 at = 8 * threadIdx.x; at < columns; at += 8 * blockDim.x)

struct Eight {
  float v[8];
};

// A matrix: where it starts, how far its rows are apart, whether its numbers are f32.
struct Rows {
  void *base;
  i64 stride;
  i64 wide;
};

__device__ static float bits_as_float(u32 bits) { return __uint_as_float(bits); }

// To the nearest, ties to even.
__device__ static u32 rounded(float x) {
  u32 bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

__device__ static Eight load(Rows rows, i64 row, i64 at) {
  Eight x;
  i64 place = row * rows.stride + at;
  if (rows.wide) {
    const float4 *from = (const float4 *)((const float *)rows.base + place);
    float4 a = from[0], b = from[1];
    x.v[0] = a.x, x.v[1] = a.y, x.v[2] = a.z, x.v[3] = a.w;
    x.v[4] = b.x, x.v[5] = b.y, x.v[6] = b.z, x.v[7] = b.w;
  } else {
    uint4 a = *(const uint4 *)((const u16 *)rows.base + place);
    u32 words[4] = {a.x, a.y, a.z, a.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
      x.v[2 * i] = bits_as_float(words[i] << 16);
      x.v[2 * i + 1] = bits_as_float(words[i] & 0xffff0000u);
    }
  }
  return x;
}

__device__ static void store(Rows rows, i64 row, i64 at, const Eight &x) {
  i64 place = row * rows.stride + at;
  if (rows.wide) {
    float4 *into = (float4 *)((float *)rows.base + place);
    into[0] = make_float4(x.v[0], x.v[1], x.v[2], x.v[3]);
    into[1] = make_float4(x.v[4], x.v[5], x.v[6], x.v[7]);
  } else {
    u32 words[4];
#pragma unroll
    for (int i = 0; i < 4; i++) words[i] = rounded(x.v[2 * i]) | rounded(x.v[2 * i + 1]) << 16;
    *(uint4 *)((u16 *)rows.base + place) = make_uint4(words[0], words[1], words[2], words[3]);
  }
}

__device__ static float number(Rows rows, i64 row, i64 at) {
  i64 place = row * rows.stride + at;
  return rows.wide ? ((const float *)rows.base)[place] : bits_as_float((u32)((const u16 *)rows.base)[place] << 16);
}

__device__ static void put(Rows rows, i64 row, i64 at, float x) {
  i64 place = row * rows.stride + at;
  if (rows.wide)
    ((float *)rows.base)[place] = x;
  else
    ((u16 *)rows.base)[place] = (u16)rounded(x);
}

__device__ static float capped(float z, float cap) { return cap > 0.0f ? tanhf(z / cap) * cap : z; }

// Of all threads of the block, for each of them.
__device__ static float block_sum(float x) {
#ifndef ONE_THREAD
  __shared__ float part[32];
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  __syncthreads();
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
  __syncthreads();
  x = 0.0f;
  for (u32 i = 0; i < blockDim.x / 32; i++) x += part[i];
#endif
  return x;
}

__device__ static float block_max(float x) {
#ifndef ONE_THREAD
  __shared__ float part[32];
  for (int offset = 16; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
  __syncthreads();
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
  __syncthreads();
  x = part[0];
  for (u32 i = 1; i < blockDim.x / 32; i++) x = fmaxf(x, part[i]);
#endif
  return x;
}

// ---------------------------------------------------------------------------------------------------------- norm, gate, rotation

__device__ static Rows part_of(Rows rows, i64 start) {
  rows.base = rows.wide ? (void *)((float *)rows.base + start) : (void *)((u16 *)rows.base + start);
  return rows;
}

// A row is one of `inner` parts (heads) of an outer one, whose starts are `…_inner` numbers apart.
extern "C" __global__ void rms_norm(Rows x, Rows out, i64 inner, i64 x_inner, i64 out_inner, i64 columns,
                                    const float *weight, float eps, float *inv_rms) {
  i64 row = blockIdx.x / inner, head = blockIdx.x % inner;
  x = part_of(x, head * x_inner), out = part_of(out, head * out_inner);
  float sum = 0.0f;
  EACH_OF_A_ROW(columns) {
    Eight values = load(x, row, at);
#pragma unroll
    for (int i = 0; i < 8; i++) sum += values.v[i] * values.v[i];
  }
  float inverse = 1.0f / sqrtf(block_sum(sum) / (float)columns + eps);
  if (threadIdx.x == 0) inv_rms[blockIdx.x] = inverse;
  Rows weights = {(void *)weight, 0, 1};
  EACH_OF_A_ROW(columns) {
    Eight values = load(x, row, at), factors = load(weights, 0, at);
#pragma unroll
    for (int i = 0; i < 8; i++) values.v[i] = values.v[i] * inverse * factors.v[i];
    store(out, row, at, values);
  }
}

// `residual` has no base where there is none.
extern "C" __global__ void rms_norm_backward(Rows dy, Rows x, Rows residual, Rows dx, i64 inner, i64 dy_inner,
                                             i64 x_inner, i64 dx_inner, i64 columns, const float *weight,
                                             const float *inv_rms) {
  i64 row = blockIdx.x / inner, head = blockIdx.x % inner;
  dy = part_of(dy, head * dy_inner), x = part_of(x, head * x_inner), dx = part_of(dx, head * dx_inner);
  Rows weights = {(void *)weight, 0, 1};
  float sum = 0.0f;
  EACH_OF_A_ROW(columns) {
    Eight d = load(dy, row, at), values = load(x, row, at), factors = load(weights, 0, at);
#pragma unroll
    for (int i = 0; i < 8; i++) sum += d.v[i] * factors.v[i] * values.v[i];
  }
  float inverse = inv_rms[blockIdx.x];
  float along = block_sum(sum) / (float)columns * inverse * inverse * inverse;
  EACH_OF_A_ROW(columns) {
    Eight d = load(dy, row, at), values = load(x, row, at), factors = load(weights, 0, at), rest;
    if (residual.base) rest = load(residual, row, at);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      d.v[i] = d.v[i] * factors.v[i] * inverse - values.v[i] * along;
      if (residual.base) d.v[i] += rest.v[i];
    }
    store(dx, row, at, d);
  }
}

// The activation and its slope: silu, or the tanh form of gelu, which is x·σ(u).
__device__ static void activate(float x, i64 gelu, float *value, float *slope) {
  float u = x, slope_of_u = 1.0f;
  if (gelu) {
    const float root = 1.5957691216057308f;  // √(8/π)
    u = (x + 0.044715f * x * x * x) * root;
    slope_of_u = (1.0f + 3.0f * 0.044715f * x * x) * root;
  }
  float sigmoid = 1.0f / (1.0f + expf(-u));
  *value = x * sigmoid;
  *slope = sigmoid + *value * (1.0f - sigmoid) * slope_of_u;
}

// The gate's columns first, then as many to multiply with.
extern "C" __global__ void gated(Rows gate_up, Rows out, i64 columns, i64 gelu) {
  i64 row = blockIdx.x;
  EACH_OF_A_ROW(columns) {
    Eight gate = load(gate_up, row, at), up = load(gate_up, row, columns + at);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      float value, slope;
      activate(gate.v[i], gelu, &value, &slope);
      up.v[i] *= value;
    }
    store(out, row, at, up);
  }
}

// `out`, the forward pass's result, has no base where nobody wants it.
extern "C" __global__ void gated_backward(Rows d_act, Rows gate_up, Rows gradient, Rows out, i64 columns, i64 gelu) {
  i64 row = blockIdx.x;
  EACH_OF_A_ROW(columns) {
    Eight gate = load(gate_up, row, at), up = load(gate_up, row, columns + at), d = load(d_act, row, at), result;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      float value, slope;
      activate(gate.v[i], gelu, &value, &slope);
      result.v[i] = value * up.v[i];
      gate.v[i] = d.v[i] * up.v[i] * slope;
      up.v[i] = d.v[i] * value;
    }
    store(gradient, row, at, gate);
    store(gradient, row, columns + at, up);
    if (out.base) store(out, row, at, result);
  }
}

// Dimension i < half of a head is paired with i + half; `sign` is −1 for the way back.
extern "C" __global__ void rope(Rows qkv, Rows cos, Rows sin, i64 heads, i64 dim, i64 half, float sign) {
  i64 row = blockIdx.x, parts = half / 8;
  for (i64 part = threadIdx.x; part < heads * parts; part += blockDim.x) {
    i64 at = part / parts * dim + part % parts * 8, angle = part % parts * 8;
    Eight first = load(qkv, row, at), second = load(qkv, row, at + half);
    Eight c = load(cos, row, angle), s = load(sin, row, angle);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      float a = first.v[i], b = second.v[i], sine = s.v[i] * sign;
      first.v[i] = a * c.v[i] - b * sine;
      second.v[i] = b * c.v[i] + a * sine;
    }
    store(qkv, row, at, first);
    store(qkv, row, at + half, second);
  }
}

// Weights in four bits written out, laid out as `nf4.rs` says: `lines` of sixteen words and two scales each.
extern "C" __global__ void nf4(const u32 *words, const float *scales, Rows out, i64 columns, i64 lines) {
  const float levels[16] = {-1.0f,        -0.6961928f,  -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f,
                            -0.091050036f, 0.0f,         0.0795803f,   0.1609302f,  0.2461123f,   0.33791524f,
                            0.44070983f,  0.562617f,    0.72295684f,  1.0f};
  i64 row = blockIdx.x;
  EACH_OF_A_ROW(columns) {
    const u32 *from = words + (row * lines + at / 128) * 16 + at % 16;
    float scale = scales[row * lines * 2 + at / 64];
    u32 shift = at % 128 / 16 * 4;
    Eight numbers;
#pragma unroll
    for (int i = 0; i < 8; i++) numbers.v[i] = levels[from[i] >> shift & 15u] * scale;
    store(out, row, at, numbers);
  }
}

// Numbers are dropped as `mask.rs` says; `base` has no base where nothing is added. Rows before `first` keep all.
extern "C" __global__ void dropout(Rows x, Rows base, Rows out, i64 columns, const u32 *keys, i64 threshold, i64 first,
                                   float scale) {
  i64 row = blockIdx.x;
  bool drops = row >= first;
  u32 a = drops ? keys[2 * row] : 0, b = drops ? keys[2 * row + 1] : 0;
  float factor = drops ? scale : 1.0f;
  EACH_OF_A_ROW(columns) {
    Eight values = load(x, row, at), rest;
    if (base.base) rest = load(base, row, at);
#pragma unroll
    for (int pair = 0; pair < 4; pair++) {
      u32 bits = ((u32)(at / 2) + pair) * 0x9e3779b1u ^ a;
      bits = (bits ^ bits >> 16) * 0x85ebca6bu;
      bits = (bits ^ bits >> 13 ^ b) * 0xc2b2ae35u;
      bits ^= bits >> 16;
#pragma unroll
      for (int i = 0; i < 2; i++) {
        bool kept = !drops || (i64)((bits >> 16 * i) & 0xffffu) >= threshold;
        float value = kept ? values.v[2 * pair + i] * factor : 0.0f;
        values.v[2 * pair + i] = base.base ? value + rest.v[2 * pair + i] : value;
      }
    }
    store(out, row, at, values);
  }
}

// ---------------------------------------------------------------------------------------------------------- sequences that grow

// A row's sequence lies at `held[row]`: for each token the keys, then the values, of all `keys` heads. The row sees the
// first `seen[row]` tokens, of which it is the last.
__device__ static Rows sequence(const i64 *held, i64 row, i64 keys, i64 dim, i64 wide) {
  Rows all = {(void *)held[row], 2 * keys * dim, wide};
  return all;
}

// Takes up a row's own keys and values, which stand from `first` on in `qkv`.
extern "C" __global__ void take_up(Rows qkv, i64 first, const i64 *held, const i64 *seen, i64 keys, i64 dim) {
  i64 row = blockIdx.x, columns = 2 * keys * dim;
  Rows into = sequence(held, row, keys, dim, qkv.wide);
  EACH_OF_A_ROW(columns)
    store(into, seen[row] - 1, at, load(qkv, row, first + at));
}

// Keys that are scored at a time, and dimensions of a result, 512 at most, that each of 128 threads adds up.
#define SCORED 512
#ifdef ONE_THREAD
#define OWN 512
#else
#define OWN 4
#endif

// Attention of each row and query head; a row sees the latest `window` tokens, or all if that is 0.
extern "C" __global__ void attend_held(Rows qkv, Rows out, const i64 *held, const i64 *seen, i64 queries, i64 keys,
                                       i64 dim, i64 window, float scale, float cap) {
  __shared__ float scores[SCORED];
  i64 row = blockIdx.x / queries, head = blockIdx.x % queries, group = head / (queries / keys);
  i64 last = seen[row], first = window > 0 && last > window ? last - window : 0;
  Rows all = sequence(held, row, keys, dim, qkv.wide);
  float largest = LOWEST, sum = 0.0f, result[OWN] = {0.0f};
  for (i64 start = first; start < last; start += SCORED) {
    i64 count = last - start < SCORED ? last - start : SCORED;
    float most = largest, part = 0.0f;
    for (i64 key = threadIdx.x; key < count; key += blockDim.x) {
      float score = 0.0f;
      for (i64 at = 0; at < dim; at += 8) {
        Eight a = load(qkv, row, head * dim + at), b = load(all, start + key, group * dim + at);
#pragma unroll
        for (int i = 0; i < 8; i++) score += a.v[i] * b.v[i];
      }
      scores[key] = capped(score * scale, cap);
      most = fmaxf(most, scores[key]);
    }
    most = block_max(most);
    for (i64 key = threadIdx.x; key < count; key += blockDim.x) part += scores[key] = expf(scores[key] - most);
    float by = expf(largest - most);
    sum = sum * by + block_sum(part), largest = most;
#pragma unroll
    for (int own = 0; own < OWN; own++) {
      i64 at = threadIdx.x + own * blockDim.x;
      if (at >= dim) break;
      float value = result[own] * by;
      for (i64 key = 0; key < count; key++) value += scores[key] * number(all, start + key, (keys + group) * dim + at);
      result[own] = value;
    }
    // Before the next keys' scores take these ones' place.
    __syncthreads();
  }
#pragma unroll
  for (int own = 0; own < OWN; own++) {
    i64 at = threadIdx.x + own * blockDim.x;
    if (at < dim) put(out, row, head * dim + at, result[own] / sum);
  }
}

// ---------------------------------------------------------------------------------------------------------- the head's rows

#define TEMPERATURES 7

// What a thread has summed of e^(z − largest), where `largest` is the largest z so far.
struct Sums {
  float largest;
  float exp;
  float times;  // · (z − largest)
  float plain;  // Σ z
  float tempered[TEMPERATURES];  // Σ e^(by·(z − largest))
};

// With by ¼, ½, ¾, 1¼, 1½, 2 and 3: powers of the fourth root.
__device__ static void powers(float root, float *power) {
  float square = root * root, fourth = square * square;
  power[0] = root, power[1] = square, power[2] = square * root, power[3] = fourth * root, power[4] = fourth * square;
  power[5] = fourth * fourth, power[6] = power[5] * fourth;
}

__device__ static void rescale(Sums &sums, float largest, bool tempered) {
  float shift = sums.largest - largest, by = expf(shift);
  sums.times = by * (sums.times + shift * sums.exp);
  sums.exp *= by;
  if (tempered) {
    float power[TEMPERATURES];
    powers(expf(0.25f * shift), power);
    for (int k = 0; k < TEMPERATURES; k++) sums.tempered[k] *= power[k];
  }
  sums.largest = largest;
}

__device__ static void add(Sums &sums, float z, bool tempered) {
  float away = z - sums.largest, e;
  if (tempered) {
    float power[TEMPERATURES], root = expf(0.25f * away);
    powers(root, power);
    for (int k = 0; k < TEMPERATURES; k++) sums.tempered[k] += power[k];
    e = power[1] * power[1];
  } else {
    e = expf(away);
  }
  sums.exp += e;
  sums.times += e * away;
}

// Of all threads, with one `largest`.
__device__ static void combine(Sums &sums, bool tempered) {
  rescale(sums, block_max(sums.largest), tempered);
  sums.exp = block_sum(sums.exp), sums.times = block_sum(sums.times), sums.plain = block_sum(sums.plain);
  if (tempered)
    for (int k = 0; k < TEMPERATURES; k++) sums.tempered[k] = block_sum(sums.tempered[k]);
}

// What log Σ e^z is.
__device__ static double log_sum(const Sums &sums) { return (double)sums.largest + log((double)sums.exp); }

// Nothing, the same for every token, or another model's logits; in `head_gradient` also the row's own, sharpened.
#define ONTO_NONE 0
#define ONTO_UNIFORM 1
#define ONTO_LOGITS 2
#define ONTO_ITSELF 3

// A row's statistics, in the order of `RowStats`: `width` of them. `exact` are the labels' logits before rounding, or none.
extern "C" __global__ void head_statistics(Rows logits, i64 columns, const i64 *labels, const float *exact, float cap,
                                           i64 onto, Rows other, float other_cap, i64 width, double *out) {
  i64 row = blockIdx.x, label = labels[row];
  bool tempered = width > 7;
  Sums sums = {LOWEST, 0.0f, 0.0f, 0.0f, {0.0f}}, theirs = sums;
  float cross = 0.0f;  // Σ e^(their z − their largest)·(their z − z)
  float before = LOWEST;  // the largest z before the label
  EACH_OF_A_ROW(columns) {
    Eight z = load(logits, row, at), q;
    float largest = sums.largest;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      z.v[i] = capped(z.v[i], cap);
      sums.plain += z.v[i];
      // Otherwise a number that is none would be lost: the largest of it and another is the other.
      if (at + i != label) largest = fmaxf(largest, z.v[i]);
      if (at + i < label) before = fmaxf(before, z.v[i]);
    }
    if (largest > sums.largest) rescale(sums, largest, tempered);
#pragma unroll
    for (int i = 0; i < 8; i++)
      if (at + i != label) add(sums, z.v[i], tempered);
    if (onto == ONTO_LOGITS) {
      q = load(other, row, at);
      largest = theirs.largest;
#pragma unroll
      for (int i = 0; i < 8; i++) largest = fmaxf(largest, q.v[i] = capped(q.v[i], other_cap));
      if (largest > theirs.largest) {
        float by = expf(theirs.largest - largest);
        theirs.exp *= by, cross *= by, theirs.largest = largest;
      }
#pragma unroll
      for (int i = 0; i < 8; i++) {
        float e = expf(q.v[i] - theirs.largest);
        theirs.exp += e, cross += e * (q.v[i] - z.v[i]);
      }
    }
  }
  combine(sums, tempered);
  double divergence = 0.0;
  float stored = capped(number(logits, row, label), cap);
  float precise = exact ? capped(exact[row], cap) : stored;
  bool is_largest = stored >= sums.largest, greedy = block_max(before) < stored && is_largest;
  float best = is_largest ? precise : sums.largest;
  // The label's own part, with the largest of all.
  rescale(sums, fmaxf(sums.largest, fmaxf(stored, precise)), tempered);
  double rounded_log_sum = (double)sums.largest + log((double)sums.exp + exp((double)stored - (double)sums.largest));
  add(sums, precise, tempered);
  double log_sum_exp = log_sum(sums);
  if (onto == ONTO_UNIFORM) divergence = rounded_log_sum - (double)sums.plain / columns - log((double)columns);
  if (onto == ONTO_LOGITS) {
    float largest = block_max(theirs.largest), by = expf(theirs.largest - largest);
    theirs.exp = block_sum(theirs.exp * by), cross = block_sum(cross * by), theirs.largest = largest;
    divergence = (double)cross / theirs.exp - log_sum(theirs) + rounded_log_sum;
  }
  if (threadIdx.x == 0) {
    out += row * width;
    out[0] = log_sum_exp - precise;
    out[1] = log((double)sums.exp) - (double)sums.times / sums.exp;
    out[2] = bits_as_float(0x7fc00000u);
    out[3] = log_sum_exp;
    out[4] = greedy ? 1.0 : 0.0;
    out[5] = best - log_sum_exp;
    out[6] = onto == ONTO_NONE ? (double)bits_as_float(0x7fc00000u) : divergence < 0.0 ? 0.0 : divergence;
    const float by[TEMPERATURES] = {0.25f, 0.5f, 0.75f, 1.25f, 1.5f, 2.0f, 3.0f};
    if (tempered)
      for (int k = 0; k < TEMPERATURES; k++)
        out[7 + k] = log((double)sums.tempered[k]) + ((double)sums.largest - precise) * by[k];
  }
}

// Overwrites a row's logits by (a + b)·p − a·eᵧ − b·q; `distance` becomes −Σ q log p, 0 without a q.
extern "C" __global__ void head_gradient(Rows logits, i64 columns, const i64 *labels, const float *log_sum_exp,
                                         const float *loss, const float *onto_label, const float *onto_other,
                                         i64 onto, Rows other, i64 others, float by, float cap, float other_cap,
                                         double *distance) {
  i64 row = blockIdx.x, label = labels[row];
  float lse = log_sum_exp[row], a = onto_label[row], b = onto_other[row], log_p_label = -loss[row];
  bool has = onto == ONTO_LOGITS ? row < others : onto != ONTO_NONE && b != 0.0f;
  // q is e^(by·x − shift).
  Sums theirs = {LOWEST, 0.0f, 0.0f, 0.0f, {0.0f}};
  bool itself = onto == ONTO_ITSELF;
  if (has && onto != ONTO_UNIFORM) {
    EACH_OF_A_ROW(columns) {
      Eight q = itself ? load(logits, row, at) : load(other, row, at);
      float largest = theirs.largest;
#pragma unroll
      for (int i = 0; i < 8; i++) {
        q.v[i] = capped(q.v[i], itself ? cap : other_cap);
        if (itself) q.v[i] = by * (at + i == label ? log_p_label : q.v[i] - lse);
        largest = fmaxf(largest, q.v[i]);
      }
      if (largest > theirs.largest) theirs.exp *= expf(theirs.largest - largest), theirs.largest = largest;
#pragma unroll
      for (int i = 0; i < 8; i++) theirs.exp += expf(q.v[i] - theirs.largest);
    }
    float largest = block_max(theirs.largest);
    theirs.exp = block_sum(theirs.exp * expf(theirs.largest - largest)), theirs.largest = largest;
  }
  float shift = (float)log_sum(theirs), sum = 0.0f, share = 1.0f / (float)columns;
  EACH_OF_A_ROW(columns) {
    Eight z = load(logits, row, at), q;
    if (has && onto == ONTO_LOGITS) q = load(other, row, at);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      float x = capped(z.v[i], cap);
      float log_p = at + i == label ? log_p_label : x - lse;
      float gradient = (a + b) * expf(log_p);
      if (has) {
        float probability = share;
        if (onto == ONTO_LOGITS) probability = expf(capped(q.v[i], other_cap) - shift);
        if (itself) probability = expf(by * log_p - shift);
        gradient -= b * probability;
        sum -= probability * log_p;
      }
      if (at + i == label) gradient -= a;
      if (cap > 0.0f) gradient *= 1.0f - x / cap * (x / cap);
      z.v[i] = gradient;
    }
    store(logits, row, at, z);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) distance[row] = has ? (double)sum : 0.0;
}
