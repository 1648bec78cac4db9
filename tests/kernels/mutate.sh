#!/bin/sh
# Breaks kernels one by one and shows that checkkernel sees each: tests/kernels/mutate.sh PATH-OF-CHECKKERNEL
#
# A mutation is a sed expression on one source in a copy of kernels/. It has to change the file, to compile, and to make
# checkkernel fail; without it, the same cases have to pass. Exit 0: all were caught. README.md keeps the record.
set -uf
checker=${1:?usage: mutate.sh PATH-OF-CHECKKERNEL}
kernels=$(cd "$(dirname "$0")/../../kernels" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
clean=$work/clean
mkdir "$clean"
(cd "$kernels" && find . -name '*.cl' -o -name '*.cu' | while read -r file; do
    mkdir -p "$clean/$(dirname "$file")" && cp "$file" "$clean/$file"
done)
caught=0 missed=0 number=0

# Whether the cases pass without a mutation; asked once for the same cases.
passes_unchanged() {
    grep -qxF -- "$*" "$work/passed" 2>/dev/null && return
    op=$1
    shift
    "$checker" --kernels "$clean" --op "$op" "$@" >"$work/log" 2>&1 && echo "$op $*" >>"$work/passed"
}

# mutate NAME FILE SED OP [FILTER...]
mutate() {
    name=$1 file=$2 expression=$3 op=$4
    shift 4
    number=$((number + 1))
    changed=$work/changed
    rm -rf "$changed"
    cp -r "$clean" "$changed"
    sed "$expression" "$clean/$file" >"$changed/$file"
    if cmp -s "$clean/$file" "$changed/$file"; then
        verdict="DOES NOT APPLY to $file"
    elif ! passes_unchanged "$op" "$@"; then
        verdict="FAILS UNCHANGED: $(grep -A1 FAIL "$work/log" | sed -n 2p)"
    elif "$checker" --kernels "$changed" --op "$op" "$@" >"$work/log" 2>&1; then
        verdict="MISSED"
    elif ! grep -q "^FAIL" "$work/log"; then
        verdict="CRASHED"
    elif grep -q "does not compile" "$work/log"; then
        verdict="DOES NOT COMPILE"
    else
        caught=$((caught + 1))
        printf '%2d caught  %-52s %s failed; %s\n' $number "$name" "$(grep -c ^FAIL "$work/log")" \
            "$( (grep ^emulator: "$work/log" || grep -A1 ^FAIL "$work/log" | sed -n 2p) | sed -n 1p | sed 's/^ *//' | cut -c1-110)"
        return
    fi
    missed=$((missed + 1))
    printf '%2d %s: %s\n' $number "$verdict" "$name"
}

f32="--type f32:f32"
f16="--type f16:f32"
bf16="--type bf16:f32"

mutate "tail of a vector loop is left out" activation/activation.cl \
    's#for (; i < end; i++)#for (; i < 0; i++)#' activation $f32 --case 'silu*'
mutate "last vector runs over the end" activation/activation.cl \
    's#i + 16 <= end#i < end#' activation $f32 --case 'silu*'
mutate "chunk's end is not cut to the tensor's" elementwise/elementwise.cl \
    's#end = min(i + CHUNK, count)#end = i + CHUNK#' combine $f32 --case '2of*'
mutate "1.702 becomes 1.70" math.cl 's#1\.702f#1.70f#' activation $f32 --case 'quick_gelu*'
mutate "last coefficient of the tail's fit is off by 1e-5" math.cl \
    's#0\.398954213f#0.398958213f#' activation $f32 --case 'gelu-*'
mutate "exponential forgets the low part of ln 2" math.cl 's#-1.42860682030941723212e-6f#0#' activation $f32 \
    --case 'silu*'
mutate "f16 results are cut instead of rounded" prelude.cl 's#_rte(v#_rtz(v#' layer_norm $f16
mutate "bf16 ties are rounded up, not to even" prelude.cl \
    's#0x7fffu + ((u >> 16) \& 1u)#0x8000u#' combine --case 'cast-to-bf16'
mutate "bf16 results are cut instead of rounded" prelude.cl 's#u + 0x7fffu + ((u >> 16) \& 1u)#u#' layer_norm $bf16
mutate "second input is read at the first one's place" elementwise/elementwise.cl \
    's#load(x1, a1 + i)#load(x1, a0 + i)#' combine $f32 --case '2of*'
mutate "clamp has one side only" elementwise/elementwise.cl \
    's#isless(sum, (vector)(-limit))#isless(sum, (vector)(-2 * limit))#' combine $f32 --case '*clamped*'
mutate "mask does not come around with the batch" elementwise/elementwise.cl \
    's# % mask_rows##' blend $f32
mutate "second half is read from its neighbour's columns" concat/concat.cl \
    's#b_stride + c - a_columns#b_stride + c#' concat $f32
mutate "a row is as wide as its columns, whatever its stride" concat/concat.cl \
    's#row \* a_stride#row * a_columns#' concat $f32
mutate "nearest rounds instead of cutting" resample/resample.cl 's#(int)floor(#(int)rint(#' resample $f32
mutate "height and width are exchanged" resample/resample.cl \
    's#nearest(i, height, out_height, scale_y)#nearest(i, height, out_height, scale_x)#' resample $f32
mutate "positions do not begin again with a batch" embedding/embedding.cl 's#row % tokens#row#' tokens $f32
mutate "an id outside of the table is not held" embedding/embedding.cl \
    's#clamp(ids\[ids_at + row\], 0, rows - 1)#ids[ids_at + row]#' tokens $f32 --case '1x7*'
mutate "sines and cosines change places" embedding/embedding.cl 's#flip ? half_width : 0#flip ? 0 : half_width#' \
    timesteps $f32
mutate "an odd width's last number is not written" embedding/embedding.cl 's#width % 2)#width % 2 == 2)#' timesteps $f32
mutate "the tree has no barrier" reduce/reduce.cl 's#barrier(CLK_LOCAL_MEM_FENCE);##' reduce $f32 --variant tree
mutate "infinities count as finite" reduce/reduce.cl 's#!= 0x7f800000u#!= 0x7fffffffu#' reduce $f32
mutate "eps is doubled" group_norm/group_norm.cl 's#+ eps)#+ 2 * eps)#' group_norm $f16 --case '*tiny*'
mutate "eps is left out" layer_norm/layer_norm.cl 's#+ eps)#)#' layer_norm $f32
mutate "last chunk's pixels are counted as a full one's" group_norm/group_norm.cl \
    's#min(chunk, pixels - k \* chunk)#chunk#' group_norm $f32 --case '*mean*'
mutate "last row of the last tile is not stored" linear/linear.cl 's#row + r < rows#row + r < rows - 1#' linear $f32 \
    --case '*x13x*'
mutate "values and gates change places" linear/linear.cl 's#gated16(a, b,#gated16(b, a,#' linear $f32 --case '*gated*'
mutate "residual is taken away" epilogue.cl 's#sum += load_act16(residual, at + n)#sum -= load_act16(residual, at + n)#' \
    linear $f32 --case '*residual*'
mutate "left padding is taken for the top's" conv2d/conv2d.cl 's#STRIDE - pad_left#STRIDE - pad_top#' conv2d $f32 \
    --case '*-pads0111-*'
mutate "doubled images are read with their own width" conv2d/conv2d.cl 's#j / UPSAMPLE#j#' conv2d $f32 --case '*-up2-*'
mutate "a causal query does not see itself" attention/attention.cl \
    's#min(first + r, queries - 1) + 1 - begin#min(first + r, queries - 1) - begin#' attention $f32 --case '*causal*'
mutate "the sum is not scaled down with a new maximum" attention/attention.cl \
    's#total = total \* shrink + e#total = total + e#' attention $f32 --case '*x31-*'
mutate "the last part is counted as a full one" rescale/rescale.cl 's#min(size, count - k \* size)#size#' rescale $f32 \
    --case '*x4097x*'
mutate "parts' own means are forgotten" rescale/rescale.cl 's# + delta \* delta \* before \* share##' rescale $f32 \
    --case '2x1025x*'
mutate "squares are of the distance from the first number" rescale/rescale.cl 's#- mean;#- origin;#' rescale $f32 \
    --case '*x16x*' --variant chunk
mutate "variances are divided, not deviations" rescale/rescale.cl 's#sqrt(c) / sqrt(e)#c / e#' rescale $f32 --case '*x13x*'
mutate "the share is left out" rescale/rescale.cl 's#fma(share, \(.*\), rest)#\1#' rescale $f32 --case '*x13x*'
mutate "a constant is divided by its deviation" rescale/rescale.cl 's#e == 0.0f ? 1.0f : ##' rescale --case 'constant-guided'
mutate "the tree of sums has no barrier" rescale/rescale.cl 's#^        barrier(CLK_LOCAL_MEM_FENCE);##' rescale $f32 \
    --variant tree --case '*x13x*'
mutate "numbers lie at their pixels' corners" resample/resample.cl 's#(float)at + 0.5f, -0.5f#(float)at, 0.0f#' resample \
    $f32 --case '*bilinear*'
mutate "the last pixel's neighbour lies outside" resample/resample.cl 's#min(\*first + 1, from - 1)#*first + 1#' resample \
    $f32 --case '*bilinear*'
mutate "a step begins at the wrong end" resample/resample.cl 's#(share, (b) - (a), a)#(share, (a) - (b), b)#' resample \
    $f32 --case '*bilinear*'
mutate "what a mask keeps is rounded" elementwise/elementwise.cl \
    's#fma(m, \(load_act(b.*)\), (1.0f - m) \* \(load_act(a.*)\)), y#fma(m, \1 - \2, \2), y#' blend $f32 --case '*hard'
mutate "the eighth input is left out" elementwise/elementwise.cl 's#inputs > 7#inputs > 8#' combine --case 'guidance*'

# CUDA's kernels, emulated
cuda="--device cuda-emulated"
mma="$cuda --type f16:f16 --variant mma* --case *x3136-*"
mma_conv="$cuda --type f16:f16 --variant mma* --case *x352-40*"
mutate "tiles are read before all threads have filled them" linear/linear.cu '/__syncthreads();/d' \
    linear $cuda $f32 --variant floats --case '*x13x*'
mutate "a stage is read without a barrier" linear/linear.cu '/__syncthreads();/d' linear $mma
mutate "a stage is read before its copies' wait" linear/linear.cu 's#copy_wait(STAGES - 2)#copy_wait(STAGES - 1)#' \
    linear $mma
mutate "a fragment's rows and columns are exchanged" gemm.cu 's#(e >> 1) \* 8#(e \& 1) * 8#' linear $mma
mutate "a fragment is read unswizzled" gemm.cu 's#2 \* k + lane / 16))#2 * k + lane / 16 ^ 1))#' conv2d $mma_conv
mutate "the last tile's surplus rows are stored" gemm.cu 's#if (row < rows)$#if (row >= 0)#' \
    linear $cuda --type f16:f16 --variant mma* --case *x160-*
mutate "every panel of a tile is its first" gemm.cu 's#first \* 32 + row) \* inputs + at : 0#first * 32 + row % 32) * inputs + at : 0#' \
    conv2d $mma_conv
mutate "splits of k are stored over each other" gemm.cu 's#(ulong)p.part \* rows#(ulong)0 * rows#' linear $mma
mutate "lanes take their columns from the wrong one" gemm.cu 's#v\[i + mask\]\[e\], mask)#v[i + mask][e], 3 - mask)#' \
    linear $cuda --type f16:f16 --variant mma* --case *x160-*
mutate "the fifth part of k is left out" gemm.cu 's#first < splits; first += 4#first < min(splits, 4); first += 4#' linear $cuda \
    --type f16:f16 --variant mma* --case *x8200-*
mutate "taps run down instead of along" conv2d/conv2d.cu 's#kx = tap % KW#kx = tap / KW#' conv2d $mma_conv
mutate "some threads meet a barrier that others do not" reduce/reduce.cu \
    's#if (lane < step) {#if (lane < step) { __syncthreads();#' reduce $cuda $f32
mutate "rows in shared memory are not whole chunks apart" attention/attention.cu \
    's#(CHUNKS | 1) \* 8)#(CHUNKS | 1) * 8 + 4)#' attention $cuda $f16 --variant mma
mutate "keys are overwritten while warps still read them" attention/attention.cu \
    's#__syncthreads(); /\* the queries.*##' attention $cuda $f16 --variant wide
mutate "sums of before are not scaled down" attention/attention.cu 's#sums\[c\]\[e\] \*= shrink#sums[c][e] *= 1.0f + 0 * shrink#' \
    attention $cuda $f16 --variant mma
mutate "a group's channels are walked without a carry" group_norm/group_norm.cu 's#w->pixels + (w->half >= w->halves)#w->pixels#' \
    group_norm $cuda $f16 --variant block
mutate "a block's sums are read while they are written" group_norm/group_norm.cu '/__syncthreads();$/d' group_norm $cuda $f16 \
    --variant block
mutate "an eight past a row's end counts" layer_norm/layer_norm.cu 's#if ((j \* 32 + lane) \* 8 < width)#if (true)#' \
    layer_norm $cuda $f32 --variant eights
mutate "a row's second half begins with its first words" concat/concat.cu 's#(c - a_columns);#c;#' concat $cuda $f16 --variant words
mutate "a warp's rows are not all summed" math.cu 's#mask = 16#mask = 8#' layer_norm $cuda $f32
mutate "a sum is read before it is complete" rescale/rescale.cu '/^    __syncthreads();$/d' rescale $cuda $f32 \
    --case '*x13x*'
mutate "every item takes the first one's factor" rescale/rescale.cu 's#factors_at + blockIdx.y#factors_at#' rescale $cuda \
    $f32 --case '3x9x13x*'
mutate "the row below is the one above" resample/resample.cu 's#batch \* height + below#batch * height + above#' resample \
    $cuda $f32 --case '*bilinear*'
mutate "both sides of a mask are added" elementwise/elementwise.cu 's#(1.0f - m) \* ##' blend $cuda $f32 --case '*hard'
mutate "the eighth of CUDA's inputs is left out" elementwise/elementwise.cu 's#inputs > 7#inputs > 8#' combine $cuda \
    --case 'guidance-1x1x1'

# Hopper's own
hopper="$cuda --type f16:f16 --variant wgmma"
mutate "a full stage is waited for in the wrong phase" gemm.cu 's#barrier_wait(full + t.stage, t.parity)#barrier_wait(full + t.stage, t.parity ^ 1)#' \
    linear $hopper --case '*x8200-*'
mutate "a stage is filled without waiting until it is empty" gemm.cu '/barrier_wait(empty/d' linear $hopper --case '*x8200-*'
mutate "a stage is given back while it is being read" gemm.cu 's#barrier_arrive(empty + before)#barrier_arrive(empty + t.stage)#' \
    linear $hopper --case '*x8200-*'
mutate "the next tile begins at the stage of the first" linear/linear.cu 's#t = multiply_stages#multiply_stages#' \
    linear $hopper --case '*x160-*'
mutate "the loads bring more than was announced" gemm.cu 's#2 \* (A_STAGE + B_STAGE))#2 * A_STAGE)#' linear $hopper --case '*x8200-*'
mutate "16 of k are taken for 32" gemm.cu 's#along_k(b + k)#along_k(b + 2 * k)#' conv2d $hopper --case '*x80-*'
mutate "taps of im2col run down instead of along" conv2d/conv2d.cu 's#tap % KW, tap / KW#tap / KW, tap % KW#' conv2d $hopper --case '*x80-*'
mutate "scores are read before they are there" attention/attention.cu 's#wgmma_wait(1);#wgmma_wait(2);#' \
    attention $cuda $f16 --variant wgmma
mutate "the second half of the values is sought in the first" attention/attention.cu 's#2 \* K_TILE)#0)#' \
    attention $cuda $f16 --variant wgmma --case '*x128-*'

echo "$caught caught, $missed not, of $number"
test $missed -eq 0
