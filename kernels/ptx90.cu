/* Hopper's own instructions (sm_90a), wrapped like those of ptx.cu: a warpgroup's matrix products from shared memory
   (wgmma), the tensor memory accelerator's loads (TMA), the barriers in shared memory that they arrive at, and registers
   that warpgroups hand to each other.

   A tile in shared memory is rows of 64 16-bit numbers (128 bytes) from an address that is a multiple of 1024 on. Within
   8 rows, chunk c (8 numbers) of row r lies at c ^ r: TMA writes it and wgmma reads it so (the 128-byte swizzle).

   A product's sums d[4 j + e] of a thread are row 16 (warp of the group) + l / 4 + 8 (e / 2), column 8 j + 2 (l % 4) + e % 2:
   mma's fragments, side by side. They belong to the instruction from wgmma_begin to the wait that covers its commit. */
#if ACT == TYPE_BF16
#define WGMMA_TYPES "f32.bf16.bf16"
#else
#define WGMMA_TYPES "f32.f16.f16"
#endif

#ifndef CALO_EMULATED

typedef struct __align__(64) tensor_map {
    ulong words[16];
} tensor_map;

#define TENSOR_MAP(name) const __grid_constant__ tensor_map name
#define DYNAMIC_SHARED(type, name) extern __shared__ __align__(1024) type name[]
#define BARRIERS(name, count) __shared__ ulong name[count]
#define BARRIER ulong *

INLINE uint shared_address(const void *p)
{
    return (uint)__cvta_generic_to_shared(p);
}

/* ---- barriers: a phase ends when all arrivals and all announced bytes are in ------------------------------------------ */

INLINE void barrier_init(BARRIER b, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" : : "r"(shared_address(b)), "r"(arrivals) : "memory");
}

/* After all inits, before a __syncthreads. */
INLINE void barrier_publish(void)
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

INLINE void barrier_arrive(BARRIER b)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" : : "r"(shared_address(b)) : "memory");
}

/* Arrives, and announces bytes that TMA will bring. */
INLINE void barrier_expect(BARRIER b, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                 :
                 : "r"(shared_address(b)), "r"(bytes)
                 : "memory");
}

/* Until the phase of this parity has ended; a fresh barrier's phase −1 (parity 1) has. */
INLINE void barrier_wait(BARRIER b, int parity)
{
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@!done bra again;\n"
                 "}"
                 :
                 : "r"(shared_address(b)), "r"(parity)
                 : "memory");
}

/* ---- TMA: one thread brings a box whose first element has these coordinates, innermost first ------------------------- */

INLINE void load_box2(ushort *to, const tensor_map *map, int x, int y, BARRIER b)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
                 :
                 : "r"(shared_address(to)), "l"(map), "r"(shared_address(b)), "r"(x), "r"(y)
                 : "memory");
}

INLINE void load_box4(ushort *to, const tensor_map *map, int x, int y, int z, int w, BARRIER b)
{
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
                 "[%1, {%3, %4, %5, %6}], [%2];"
                 :
                 : "r"(shared_address(to)), "l"(map), "r"(shared_address(b)), "r"(x), "r"(y), "r"(z), "r"(w)
                 : "memory");
}

/* Convolution's: channels from c on, of pixels from (x, y) of image n on, each read `tap_x`, `tap_y` further. */
INLINE void load_pixels(ushort *to, const tensor_map *map, int c, int x, int y, int n, int tap_x, int tap_y, BARRIER b)
{
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], "
                 "[%1, {%3, %4, %5, %6}], [%2], {%7, %8};"
                 :
                 : "r"(shared_address(to)), "l"(map), "r"(shared_address(b)), "r"(c), "r"(x), "r"(y), "r"(n),
                   "h"((ushort)tap_x), "h"((ushort)tap_y)
                 : "memory");
}

/* ---- wgmma ---------------------------------------------------------------------------------------------------------- */

/* A tile whose rows run along k (A [m][k], B [n][k]): 16 of k are 16 numbers further. */
INLINE ulong along_k(const ushort *tile)
{
    return (ulong)(shared_address(tile) & 0x3ffff) >> 4 | (ulong)(1024 >> 4) << 32 | (ulong)1 << 62;
}

/* A tile B [k][n], rows along n, wider ones in blocks of 64 columns that lie `block` bytes apart; 16 of k are 16 rows further. */
INLINE ulong across_k(const ushort *tile, int block)
{
    return (ulong)(shared_address(tile) & 0x3ffff) >> 4 | (ulong)(block >> 4) << 16 | (ulong)(1024 >> 4) << 32 | (ulong)1 << 62;
}

/* Before the first product after any other use of its registers. */
INLINE void wgmma_begin(void)
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

INLINE void wgmma_commit(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* At most `pending` (0 or 1, a constant) of the latest groups are still under way. */
INLINE void wgmma_wait(int pending)
{
    if (pending)
        asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
    else
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

/* Sums of a product may be touched from here on: the compiler, which cannot see that a wait concerns them, moves nothing
   across. After a wait for them, and before wgmma_begin. And before a wait what must not be put off until behind it. */
INLINE void wgmma_hold(float *sums, int count)
{
    UNROLL
    for (int i = 0; i < count; i++)
        asm volatile("" : "+f"(sums[i]) : : "memory");
}

#define SUMS8(d, i)                                                                                                    \
    "+f"((d)[i]), "+f"((d)[i + 1]), "+f"((d)[i + 2]), "+f"((d)[i + 3]), "+f"((d)[i + 4]), "+f"((d)[i + 5]),            \
        "+f"((d)[i + 6]), "+f"((d)[i + 7])
#define SUMS16(d, i) SUMS8(d, i), SUMS8(d, i + 8)
#define SUMS32(d, i) SUMS16(d, i), SUMS16(d, i + 16)
#define SUMS64(d, i) SUMS32(d, i), SUMS32(d, i + 32)
#define NAMES0 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define NAMES1 "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define NAMES2 "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define NAMES3 "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define NAMES4 "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79"
#define NAMES5 "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define NAMES6 "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111"
#define NAMES7 "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define NAMES_TO_31 NAMES0 "," NAMES1
#define NAMES_TO_47 NAMES_TO_31 "," NAMES2
#define NAMES_TO_63 NAMES_TO_47 "," NAMES3
#define NAMES_TO_79 NAMES_TO_63 "," NAMES4
#define NAMES_TO_127 NAMES_TO_79 "," NAMES5 "," NAMES6 "," NAMES7

/* d = (keep ? d : 0) + A · Bᵀ: A of 64 rows and B of N rows, both along k, 16 of k. */
#define WGMMA(n, names, sums, a, b, keep)                                                                              \
    asm volatile("{\n.reg .pred keep;\nsetp.ne.b32 keep, " keep ", 0;\n"                                              \
                 "wgmma.mma_async.sync.aligned.m64n" n "k16." WGMMA_TYPES " {" names "}, " a ", " b                    \
                 ", keep, 1, 1, 0, 0;\n}"                                                                              \
                 : sums                                                                                                \
                 : "l"(a_tile), "l"(b_tile), "r"((int)kept)                                                            \
                 : "memory")

INLINE void wgmma_64(float *d, ulong a_tile, ulong b_tile, bool kept)
{
    WGMMA("64", NAMES_TO_31, SUMS32(d, 0), "%32", "%33", "%34");
}

INLINE void wgmma_96(float *d, ulong a_tile, ulong b_tile, bool kept)
{
#define SUMS48(d) SUMS32(d, 0), SUMS16(d, 32)
    WGMMA("96", NAMES_TO_47, SUMS48(d), "%48", "%49", "%50");
}

INLINE void wgmma_128(float *d, ulong a_tile, ulong b_tile, bool kept)
{
    WGMMA("128", NAMES_TO_63, SUMS64(d, 0), "%64", "%65", "%66");
}

INLINE void wgmma_160(float *d, ulong a_tile, ulong b_tile, bool kept)
{
#define SUMS80(d) SUMS64(d, 0), SUMS16(d, 64)
    WGMMA("160", NAMES_TO_79, SUMS80(d), "%80", "%81", "%82");
}

INLINE void wgmma_256(float *d, ulong a_tile, ulong b_tile, bool kept)
{
#define SUMS128(d) SUMS64(d, 0), SUMS64(d, 64)
    WGMMA("256", NAMES_TO_127, SUMS128(d), "%128", "%129", "%130");
}

/* d += A · B: A an mma's fragment for each warp, B [k][n] across k. */
#define WGMMA_ACROSS(n, names, sums, first, second, third, fourth, b)                                                  \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" n "k16." WGMMA_TYPES " {" names "}, {" first "," second ","       \
                 third "," fourth "}, " b ", 1, 1, 1, 1;"                                                              \
                 : sums                                                                                                \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b_tile)                                             \
                 : "memory")

INLINE void wgmma_across_40(float *d, const uint *a, ulong b_tile)
{
#define SUMS20(d) SUMS16(d, 0), "+f"((d)[16]), "+f"((d)[17]), "+f"((d)[18]), "+f"((d)[19])
    WGMMA_ACROSS("40", NAMES0 ",%16,%17,%18,%19", SUMS20(d), "%20", "%21", "%22", "%23", "%24");
}

INLINE void wgmma_across_64(float *d, const uint *a, ulong b_tile)
{
    WGMMA_ACROSS("64", NAMES_TO_31, SUMS32(d, 0), "%32", "%33", "%34", "%35", "%36");
}

INLINE void wgmma_across_80(float *d, const uint *a, ulong b_tile)
{
#define SUMS40(d) SUMS32(d, 0), SUMS8(d, 32)
    WGMMA_ACROSS("80", NAMES_TO_31 ",%32,%33,%34,%35,%36,%37,%38,%39", SUMS40(d), "%40", "%41", "%42", "%43", "%44");
}

INLINE void wgmma_across_128(float *d, const uint *a, ulong b_tile)
{
    WGMMA_ACROSS("128", NAMES_TO_63, SUMS64(d, 0), "%64", "%65", "%66", "%67", "%68");
}

/* A block of 384 threads begins with 168 registers a thread; a warpgroup that only loads gives its own to two that
   multiply: 128 · 40 + 256 · 232 = 64512. `count`: a number or a macro that is one. */
#define REGISTERS(what, count) asm volatile("setmaxnreg." what ".sync.aligned.u32 " #count ";" ::: "memory")
#define REGISTERS_DOWN(count) REGISTERS("dec", count)
#define REGISTERS_UP(count) REGISTERS("inc", count)

#endif
