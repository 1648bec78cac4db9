// Hopper's instructions, emulated: the twins of ptx90.cu. emulator.h includes this.
//
// What TMA brings lands when somebody waits for its barrier and all arrivals are in, as late as can be; until then its
// cells count as never written. A product of a warpgroup is made at the wait that covers its group, from what shared
// memory and the fragments hold by then; until then its sums are NaN. So a read before the wait is seen, and so is a
// stage that is filled again while a product still reads it.
#ifndef CALO_EMULATED_HOPPER_H
#define CALO_EMULATED_HOPPER_H

#include <algorithm>
#include <vector>

typedef emulated_map tensor_map;

namespace emulator {

// ---- shared memory by its address -----------------------------------------------------------------------------------

inline unsigned address_of(const void *at)
{
    for (const array *a = arrays; a; a = a->next) {
        const ptrdiff_t offset = (const char *)at - a->cells;
        if (offset >= 0 && offset <= (ptrdiff_t)a->size)
            return a->base + (unsigned)(offset / a->cell_size * a->value_size);
    }
    fault("takes the address of what is not in shared memory");
}

inline cell<unsigned short> *cell_at(unsigned address)
{
    for (const array *a = arrays; a; a = a->next)
        if (address >= a->base && address - a->base < a->size / a->cell_size * a->value_size && a->value_size == 2)
            return (cell<unsigned short> *)(a->cells + (address - a->base) / 2 * a->cell_size);
    fault("reaches outside of its shared arrays");
}

// The 128-byte swizzle: bits 4 … 6 of an address are exchanged by its bits 7 … 9.
inline unsigned swizzled(unsigned address)
{
    return address ^ (address >> 3 & 0x70);
}

// ---- barriers -------------------------------------------------------------------------------------------------------

struct transfer {
    std::vector<unsigned> cells; // addresses, in the box's order
    std::vector<unsigned short> values;
};

struct mbarrier {
    int arrivals, pending, parity;
    long bytes; // announced and not here yet
    std::vector<transfer> *transfers;

    void init(int count)
    {
        if (arrivals)
            fault("makes an mbarrier that is in use");
        arrivals = pending = count;
        parity = 0;
        bytes = 0;
    }
    void arrive(long announced)
    {
        if (!arrivals)
            fault("arrives at an mbarrier that was never made");
        if (!pending)
            fault("arrives at an mbarrier more often than it was made for");
        bytes += announced;
        if (--pending == 0 && !bytes && transfers->empty())
            turn();
    }
    void turn()
    {
        parity ^= 1;
        pending = arrivals;
    }
    bool ended(int wanted)
    {
        if (!arrivals)
            fault("waits at an mbarrier that was never made");
        if (parity == wanted && !pending) {
            for (const transfer &t : *transfers) {
                for (size_t i = 0; i < t.cells.size(); i++)
                    cell_at(t.cells[i])->set(t.values[i]);
                bytes -= 2 * (long)t.cells.size();
            }
            transfers->clear();
            if (bytes == 0)
                turn();
        }
        return parity != wanted;
    }
};
inline std::vector<mbarrier *> barriers; // of this program's kernels

template <int COUNT> struct barrier_array {
    mbarrier b[COUNT];

    barrier_array()
    {
        memset(b, 0, sizeof b);
        for (int i = 0; i < COUNT; i++) {
            b[i].transfers = new std::vector<transfer>;
            barriers.push_back(&b[i]);
        }
    }
};

struct awaited {
    mbarrier *b;
    int parity;
};

inline void wait_at(mbarrier *b, int parity)
{
    awaited what = { b, parity };
    emulated_by->poll([](void *w) { return ((awaited *)w)->b->ended(((awaited *)w)->parity); }, &what);
}

// ---- TMA ------------------------------------------------------------------------------------------------------------

// One row of a box is the innermost dimension's; from where `inside` says no there are zeros.
inline void bring_row(transfer &t, unsigned address, const tensor_map *m, const unsigned short *row, bool inside, long x)
{
    for (unsigned i = 0; i < m->box[0]; i++) {
        const unsigned at = swizzled(address + 2 * i);
        const bool valid = inside && x + i >= 0 && x + i < (long)m->dims[0];
        cell<unsigned short> *c = cell_at(at);
        c->set(0);
        c->state = NEVER;
        t.cells.push_back(at);
        t.values.push_back(valid ? row[x + i] : 0);
    }
}

inline const tensor_map *expect_map(const tensor_map *m, unsigned to, int rank, bool im2col)
{
    if (m->magic != EMULATED_MAP || m->rank != rank || m->im2col != im2col)
        fault("loads by a tensor map of another kind");
    if (to % 1024)
        fault("loads a box to an address that is no multiple of 1024");
    return m;
}

inline void bring_box(cell<unsigned short> *to, const tensor_map *m, int rank, const int *at, mbarrier *b)
{
    transfer t;
    unsigned address = address_of(to);
    expect_map(m, address, rank, false);
    unsigned i[4] = { 0 };
    for (bool more = true; more; address += 2 * m->box[0]) {
        const char *row = (const char *)m->base;
        bool inside = true;
        for (int d = 1; d < rank; d++) {
            const long p = at[d] + (long)i[d];
            inside = inside && p >= 0 && p < (long)m->dims[d];
            row += p * (long)m->strides[d];
        }
        bring_row(t, address, m, (const unsigned short *)row, inside, at[0]);
        int d = 1;
        while (d < rank && ++i[d] == m->box[d])
            i[d++] = 0;
        more = d < rank;
    }
    b->transfers->push_back(t);
}

// Pixels walk along x, then y, then images, inside the corners; each is read at its place plus the tap.
inline void bring_pixels(cell<unsigned short> *to, const tensor_map *m, int c, int x, int y, int n, int tap_x, int tap_y,
                         mbarrier *b)
{
    transfer t;
    const unsigned address = address_of(to);
    expect_map(m, address, 4, true);
    for (unsigned i = 0; i < m->box[1]; i++) {
        const long px = x + tap_x, py = y + tap_y;
        const bool inside = px >= 0 && px < (long)m->dims[1] && py >= 0 && py < (long)m->dims[2] && n < (long)m->dims[3];
        const char *row = (const char *)m->base + px * (long)m->strides[1] + py * (long)m->strides[2] +
                          n * (long)m->strides[3];
        bring_row(t, address + 2 * m->box[0] * i, m, (const unsigned short *)row, inside, c);
        x += m->step;
        if (x > (int)m->dims[1] - 1 + m->upper[0]) {
            x = m->lower[0];
            y += m->step;
        }
        if (y > (int)m->dims[2] - 1 + m->upper[1]) {
            y = m->lower[1];
            n++;
        }
    }
    b->transfers->push_back(t);
}

// ---- products of a warpgroup ----------------------------------------------------------------------------------------

struct product {
    int n;
    bool f16, kept, across; // across: A in fragments, B across k
    unsigned long a_tile, b_tile;
    float *sums[128];
    const unsigned *a[128];
    std::vector<float> before; // the sums when it was issued; empty when another product on them was under way
};

struct warpgroup {
    bool begun;
    std::vector<product> open;
    std::vector<std::vector<product>> groups;
};
inline warpgroup warpgroups[8];

inline float number_at(const product &p, unsigned address)
{
    const unsigned short bits = cell_at(swizzled(address))->get();
    return p.f16 ? f16_values()[bits] : bf16_value(bits);
}

// Element (row, k) of a tile along k, or (k, column) of one across it, by the descriptor's fields.
inline unsigned element(unsigned long descriptor, int row, int k, bool across)
{
    const unsigned start = (unsigned)(descriptor & 0x3fff) << 4, lead = (unsigned)(descriptor >> 16 & 0x3fff) << 4,
                   stride = (unsigned)(descriptor >> 32 & 0x3fff) << 4;
    if (descriptor >> 62 != 1 || (descriptor >> 49 & 7))
        fault("multiplies by a descriptor that is not of the 128-byte swizzle");
    return across ? start + row / 64 * lead + k / 8 * stride + k % 8 * 128 + row % 64 * 2
                  : start + row / 8 * stride + row % 8 * 128 + k * 2;
}

inline void execute(product &p)
{
    static float a[64][16], b[16][256];
    for (int row = 0; row < 64 && !p.across; row++)
        for (int k = 0; k < 16; k++)
            a[row][k] = number_at(p, element(p.a_tile, row, k, false));
    for (int thread = 0; thread < 128 && p.across; thread++)
        for (int i = 0; i < 4; i++)
            for (int h = 0; h < 2; h++) {
                const unsigned short bits = (unsigned short)(p.a[thread][i] >> 16 * h);
                const int g = thread % 32 / 4, t = thread % 4;
                a[thread / 32 * 16 + g + i % 2 * 8][2 * t + h + i / 2 * 8] = p.f16 ? f16_values()[bits] : bf16_value(bits);
            }
    for (int k = 0; k < 16; k++)
        for (int n = 0; n < p.n; n++)
            b[k][n] = number_at(p, element(p.b_tile, n, k, p.across));
    for (int thread = 0; thread < 128; thread++)
        for (int i = 0; i < p.n / 2; i++) {
            const int row = thread / 32 * 16 + thread % 32 / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + thread % 4 * 2 + i % 2;
            float sum = !p.kept ? 0 : p.before.empty() ? p.sums[thread][i] : p.before[thread * (p.n / 2) + i];
            for (int k = 0; k < 16; k++)
                sum += a[row][k] * b[k][column];
            p.sums[thread][i] = sum;
        }
}

// Keeps the sums aside, and what is there meanwhile is no number.
inline void set_aside(product &p)
{
    p.before.clear();
    for (int thread = 0; thread < 128; thread++)
        for (int i = 0; i < p.n / 2; i++) {
            p.before.push_back(p.sums[thread][i]);
            p.sums[thread][i] = NAN;
        }
}

inline bool under_way(const warpgroup &w, const float *sums)
{
    for (const auto &group : w.groups)
        for (const product &p : group)
            if (p.sums[0] == sums)
                return true;
    for (const product &p : w.open)
        if (p.sums[0] == sums)
            return true;
    return false;
}

struct lane_product {
    product p;
    float *sums;
    const unsigned *a;
};

enum group_kind { WGMMA = 1024, WGMMA_BEGIN, WGMMA_COMMIT, WGMMA_WAIT };

inline warpgroup &own_group(void)
{
    return warpgroups[threadIdx.x / 128 % 8];
}

inline void issue(const product &p, float *sums, const unsigned *a)
{
    lane_product own = { p, sums, a };
    emulated_by->rendezvous(128, WGMMA + 16 * p.n + p.across, &own, [](void **lanes) {
        product p = ((lane_product *)lanes[0])->p;
        warpgroup &w = own_group();
        if (!w.begun)
            fault("multiplies without wgmma_begin");
        for (int i = 0; i < 128; i++) {
            const lane_product *l = (lane_product *)lanes[i];
            if (l->p.a_tile != p.a_tile || l->p.b_tile != p.b_tile || l->p.kept != p.kept)
                fault("multiplies other tiles than the rest of its warpgroup");
            p.sums[i] = l->sums;
            p.a[i] = l->a;
        }
        if (!under_way(w, p.sums[0]))
            set_aside(p);
        w.open.push_back(p);
    });
}

inline void begin_products(void)
{
    emulated_by->rendezvous(128, WGMMA_BEGIN, nullptr, [](void **) { own_group().begun = true; });
}

inline void commit_products(void)
{
    emulated_by->rendezvous(128, WGMMA_COMMIT, nullptr, [](void **) {
        own_group().groups.push_back(own_group().open);
        own_group().open.clear();
    });
}

inline void wait_products(int pending)
{
    emulated_by->rendezvous(128, WGMMA_WAIT + 16 * pending, nullptr, [](void **) {});
    emulated_by->rendezvous(128, WGMMA_WAIT + 16 * pending, &pending, [](void **lanes) {
        warpgroup &w = own_group();
        w.begun = false;
        while ((int)w.groups.size() > *(int *)lanes[0]) {
            for (product &p : w.groups[0])
                execute(p);
            w.groups.erase(w.groups.begin());
        }
        std::vector<const float *> seen;
        for (auto &group : w.groups) // what goes on with sums of products that are done
            for (product &p : group) {
                if (p.before.empty() && std::find(seen.begin(), seen.end(), p.sums[0]) == seen.end())
                    set_aside(p);
                seen.push_back(p.sums[0]);
            }
    });
}

// ---- a block --------------------------------------------------------------------------------------------------------

enum { DYNAMIC = 232448 };

template <class T> struct dynamic_array {
    guarded<T, cell<T>[DYNAMIC / sizeof(T)]> whole;

    dynamic_array() { dynamic = &whole.own; }
};

inline void prepare_hopper(void)
{
    for (mbarrier *b : barriers) {
        b->arrivals = 0;
        b->transfers->clear();
    }
    for (warpgroup &w : warpgroups) {
        w.begun = false;
        w.open.clear();
        w.groups.clear();
    }
}

} // namespace emulator

// ---- the dialect ----------------------------------------------------------------------------------------------------

#define TENSOR_MAP(name) const tensor_map name
#define DYNAMIC_SHARED(type, name)                                                                                     \
    static emulator::dynamic_array<type> name##_dynamic;                                                               \
    emulator::cell<type> *name = name##_dynamic.whole.cells
#define BARRIERS(name, count)                                                                                          \
    static emulator::barrier_array<count> name##_array;                                                                \
    emulator::mbarrier *name = name##_array.b
#define BARRIER emulator::mbarrier *

INLINE void barrier_init(emulator::mbarrier *b, int arrivals) { b->init(arrivals); }
INLINE void barrier_publish(void) {}
INLINE void barrier_arrive(emulator::mbarrier *b) { b->arrive(0); }
INLINE void barrier_expect(emulator::mbarrier *b, int bytes) { b->arrive(bytes); }
INLINE void barrier_wait(emulator::mbarrier *b, int parity) { emulator::wait_at(b, parity); }

INLINE void load_box2(emulator::cell<unsigned short> *to, const tensor_map *map, int x, int y, emulator::mbarrier *b)
{
    const int at[] = { x, y };
    emulator::bring_box(to, map, 2, at, b);
}
INLINE void load_box4(emulator::cell<unsigned short> *to, const tensor_map *map, int x, int y, int z, int w,
                      emulator::mbarrier *b)
{
    const int at[] = { x, y, z, w };
    emulator::bring_box(to, map, 4, at, b);
}
INLINE void load_pixels(emulator::cell<unsigned short> *to, const tensor_map *map, int c, int x, int y, int n, int tap_x,
                        int tap_y, emulator::mbarrier *b)
{
    emulator::bring_pixels(to, map, c, x, y, n, tap_x, tap_y, b);
}

// The descriptors' bits are ptx90.cu's.
INLINE unsigned long along_k(const emulator::cell<unsigned short> *tile)
{
    return (emulator::address_of(tile) & 0x3ffff) >> 4 | 64ul << 32 | 1ul << 62;
}
INLINE unsigned long across_k(const emulator::cell<unsigned short> *tile, int block)
{
    return along_k(tile) | (unsigned long)(block >> 4) << 16;
}

INLINE void wgmma_begin(void) { emulator::begin_products(); }
INLINE void wgmma_commit(void) { emulator::commit_products(); }
INLINE void wgmma_wait(int pending) { emulator::wait_products(pending); }

INLINE void wgmma_hold(float *, int) {}

#define PRODUCT(n, kept, across, a_tile, b_tile)                                                                       \
    emulator::product { n, ACT != TYPE_BF16, kept, across, a_tile, b_tile }
#define wgmma_64(d, a, b, kept) emulator::issue(PRODUCT(64, kept, false, a, b), d, nullptr)
#define wgmma_96(d, a, b, kept) emulator::issue(PRODUCT(96, kept, false, a, b), d, nullptr)
#define wgmma_128(d, a, b, kept) emulator::issue(PRODUCT(128, kept, false, a, b), d, nullptr)
#define wgmma_160(d, a, b, kept) emulator::issue(PRODUCT(160, kept, false, a, b), d, nullptr)
#define wgmma_256(d, a, b, kept) emulator::issue(PRODUCT(256, kept, false, a, b), d, nullptr)
#define wgmma_across_40(d, a, b) emulator::issue(PRODUCT(40, true, true, 0, b), d, a)
#define wgmma_across_64(d, a, b) emulator::issue(PRODUCT(64, true, true, 0, b), d, a)
#define wgmma_across_80(d, a, b) emulator::issue(PRODUCT(80, true, true, 0, b), d, a)
#define wgmma_across_128(d, a, b) emulator::issue(PRODUCT(128, true, true, 0, b), d, a)

#define REGISTERS_DOWN(count) ((void)0)
#define REGISTERS_UP(count) ((void)0)

#endif
