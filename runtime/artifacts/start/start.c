//! The start program of a bundle: unpacks the runtime beside the bundle and executes it with its own loader.
//!
//! A bundle whose runtime needs a loader and libraries begins with this program, because an empty Linux has neither.
//! It is static, has no C library and makes system calls only. The end of the bundle says where the files of the
//! runtime are (`bundle/layout.rs` writes it):
//!
//!   table    for each file: 64 bytes of name, 8 bytes of offset, 8 bytes of length
//!   trailer  8 bytes of magic, 8 bytes of the table's offset, 4 bytes of its number of entries, 4 bytes of zeros,
//!            16 digits of the digest of the bundle, 24 bytes for the runtime
//!
//! Numbers are little-endian. The first entry of the table is the loader, the second the runtime. The files are written
//! to the folder BUNDLE.DIGITS, which appears when it is whole, so that a second start finds all of them or none. The
//! runtime verifies the digest of the bundle; this program only notices that it is cut off.

typedef unsigned long u64;
typedef unsigned int u32;

#define MAGIC 0x31627a6872000001UL
#define TRAILER 64
#define ENTRY 80
#define NAME 64
#define PATH 4096
#define ENTRIES_MAX 64
#define ARGS_MAX 4096

#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, CLOSE = 3, LSEEK = 8, PREAD = 17, GETPID = 39, EXECVE = 59, EXIT = 60 };
enum { OPENAT = 257, MKDIRAT = 258, UNLINKAT = 263, RENAMEAT2 = 316, READLINKAT = 267, FACCESSAT = 269 };

static long sys(long n, long a, long b, long c, long d, long e) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

__asm__(".globl _start\n_start:\n xor %rbp, %rbp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
#elif defined(__aarch64__)
enum { READ = 63, WRITE = 64, CLOSE = 57, LSEEK = 62, PREAD = 67, GETPID = 172, EXECVE = 221, EXIT = 93 };
enum { OPENAT = 56, MKDIRAT = 34, UNLINKAT = 35, RENAMEAT2 = 276, READLINKAT = 78, FACCESSAT = 48 };

static long sys(long n, long a, long b, long c, long d, long e) {
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}

__asm__(".globl _start\n_start:\n mov x29, #0\n mov x0, sp\n and sp, x0, #-16\n b begin\n");
#else
#error "the start program knows x86-64 and AArch64"
#endif

#define AT_FDCWD (-100)
#define O_RDONLY 0
#define O_WRONLY_CREAT_EXCL (01 | 0100 | 0200)
#define RENAME_NOREPLACE 1
#define EEXIST 17
#define ENOTEMPTY 39
#define AT_REMOVEDIR 0x200

static char buffer[1 << 16];
static char table[ENTRIES_MAX * ENTRY];
static char self[PATH], folder[PATH], draft[PATH], path[PATH], loader[PATH], runtime[PATH], variable[PATH];
static char *arguments[ARGS_MAX], *environment[ARGS_MAX];

static u64 length(const char *text) {
    u64 n = 0;
    while (text[n]) n++;
    return n;
}

__attribute__((noreturn)) static void fail(const char *reason) {
    static const char begin[] = "error: failed to start the bundle: ";
    sys(WRITE, 2, (long)begin, sizeof begin - 1, 0, 0);
    sys(WRITE, 2, (long)reason, (long)length(reason), 0, 0);
    sys(WRITE, 2, (long)"\n", 1, 0, 0);
    sys(EXIT, 1, 0, 0, 0, 0);
    __builtin_unreachable();
}

/// Joins three texts.
static void join(char *to, const char *a, const char *b, const char *c) {
    const char *parts[3] = {a, b, c};
    u64 n = 0;
    for (int part = 0; part < 3; part++)
        for (const char *text = parts[part]; *text; text++) {
            if (n + 1 >= PATH) fail("its path is too long");
            to[n++] = *text;
        }
    to[n] = 0;
}

static int begins(const char *text, const char *with) {
    while (*with)
        if (*text++ != *with++) return 0;
    return 1;
}

static u64 number(const char *bytes, int count) {
    u64 value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | (unsigned char)bytes[i];
    return value;
}

/// Reads exactly this many bytes at an offset.
static void read_at(long file, char *to, u64 count, u64 offset) {
    while (count) {
        long got = sys(PREAD, file, (long)to, (long)count, (long)offset, 0);
        if (got <= 0) fail("it is cut off");
        to += got, offset += (u64)got, count -= (u64)got;
    }
}

/// Copies a part of the bundle into a new file.
static void unpack(long file, const char *to, u64 offset, u64 count) {
    long out = sys(OPENAT, AT_FDCWD, (long)to, O_WRONLY_CREAT_EXCL, 0700, 0);
    if (out < 0) fail("the runtime cannot be written beside it");
    while (count) {
        u64 step = count < sizeof buffer ? count : sizeof buffer;
        read_at(file, buffer, step, offset);
        for (u64 done = 0; done < step;) {
            long put = sys(WRITE, out, (long)(buffer + done), (long)(step - done), 0, 0);
            if (put <= 0) fail("the disk is full");
            done += (u64)put;
        }
        offset += step, count -= step;
    }
    sys(CLOSE, out, 0, 0, 0, 0);
}

static void decimal(char *to, u64 value) {
    char digits[24];
    int n = 0;
    do digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    for (int i = 0; i < n; i++) to[i] = digits[n - 1 - i];
    to[n] = 0;
}

/// Names the file of an entry in a folder.
static void place(char *to, const char *in, u32 entry) {
    static char name[NAME + 1];
    for (int i = 0; i < NAME; i++) {
        name[i] = table[entry * ENTRY + (u32)i];
        if (name[i] == '/') fail("it is damaged");
    }
    join(to, in, "/", name);
}

static void unpack_all(long file, u32 entries) {
    static char pid[24];
    decimal(pid, (u64)sys(GETPID, 0, 0, 0, 0, 0));
    join(draft, folder, "-", pid);
    if (sys(MKDIRAT, AT_FDCWD, (long)draft, 0700, 0, 0) < 0)
        fail("no folder can be made beside it; copy it to a folder that can be written");
    for (u32 entry = 0; entry < entries; entry++) {
        const char *at = table + entry * ENTRY + NAME;
        place(path, draft, entry);
        unpack(file, path, number(at, 8), number(at + 8, 8));
    }
    long renamed = sys(RENAMEAT2, AT_FDCWD, (long)draft, AT_FDCWD, (long)folder, RENAME_NOREPLACE);
    if (renamed == 0) return;
    // Another start was faster.
    for (u32 entry = 0; entry < entries; entry++) {
        place(path, draft, entry);
        sys(UNLINKAT, AT_FDCWD, (long)path, 0, 0, 0);
    }
    sys(UNLINKAT, AT_FDCWD, (long)draft, AT_REMOVEDIR, 0, 0);
    if (renamed != -EEXIST && renamed != -ENOTEMPTY) fail("the runtime cannot be named beside it");
}

__attribute__((used, noreturn)) static void begin_with(long *stack) {
    long count = stack[0];
    char **argv = (char **)(stack + 1), **env = argv + count + 1;
    long got = sys(READLINKAT, AT_FDCWD, (long)"/proc/self/exe", (long)self, PATH - 1, 0);
    if (got <= 0) fail("/proc is not mounted");
    long file = sys(OPENAT, AT_FDCWD, (long)"/proc/self/exe", O_RDONLY, 0, 0);
    if (file < 0) fail("it cannot be read");
    long end = sys(LSEEK, file, 0, 2, 0, 0);
    char trailer[TRAILER], digits[17];
    if (end < TRAILER) fail("it is cut off");
    read_at(file, trailer, TRAILER, (u64)end - TRAILER);
    u64 at = number(trailer + 8, 8);
    u32 entries = (u32)number(trailer + 16, 4);
    if (number(trailer, 8) != MAGIC) fail("it is cut off");
    if (entries < 2 || entries > ENTRIES_MAX) fail("it is damaged");
    read_at(file, table, entries * ENTRY, at);
    for (int i = 0; i < 16; i++) {
        digits[i] = trailer[24 + i];
        if (digits[i] == '/') fail("it is damaged");
    }
    digits[16] = 0;
    join(folder, self, ".", digits);
    if (sys(FACCESSAT, AT_FDCWD, (long)folder, 0, 0, 0) < 0) unpack_all(file, entries);
    sys(CLOSE, file, 0, 0, 0, 0);
    place(loader, folder, 0);
    place(runtime, folder, 1);
    char *before[] = {loader, "--inhibit-cache", "--library-path", folder, "--argv0", argv[0], runtime};
    long n = 0;
    if (count < 1 || count + 8 > ARGS_MAX) fail("it has no or too many arguments");
    for (u64 i = 0; i < sizeof before / sizeof *before; i++) arguments[n++] = before[i];
    for (long i = 1; i < count; i++) arguments[n++] = argv[i];
    arguments[n] = 0;
    join(variable, "RHIZO_BUNDLE=", self, "");
    environment[0] = variable;
    for (n = 1; *env; env++) {
        if (n + 2 > ARGS_MAX) fail("it has too many variables");
        if (begins(*env, "RHIZO_BUNDLE=")) continue;
        environment[n++] = *env;
    }
    environment[n] = 0;
    sys(EXECVE, (long)loader, (long)arguments, (long)environment, 0, 0);
    fail("the runtime cannot be executed");
}

/// Entry from `_start`, with the stack that the kernel made.
__attribute__((used, noreturn)) void begin(long *stack) { begin_with(stack); }

/// The compiler may call these for assignments of arrays.
__attribute__((used)) void *memset(void *to, int value, u64 count) {
    volatile char *bytes = to;
    while (count--) *bytes++ = (char)value;
    return to;
}

__attribute__((used)) void *memcpy(void *to, const void *from, u64 count) {
    volatile char *bytes = to;
    const char *source = from;
    while (count--) *bytes++ = *source++;
    return to;
}
