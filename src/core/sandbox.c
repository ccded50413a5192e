#include "core/sandbox.h"

#include "core/log.h"
#include "core/net.h"
#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- What is always given up ---- */

/* Keeps the ambient capabilities only: whoever starts us with some means us to have them. */
static bool drop_capabilities(struct err *e)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	for (unsigned cap = 0; cap < 64; cap++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1) {
			data[cap / 32].effective |= 1U << cap % 32;
			data[cap / 32].permitted |= 1U << cap % 32;
			data[cap / 32].inheritable |= 1U << cap % 32;
		}
	return syscall(SYS_capset, &header, data) == 0 ? true : err_errno(e, errno, "giving up capabilities");
}

bool sandbox_harden(const struct config *cfg, struct err *e)
{
	const struct rlimit none = {0, 0};

	if (geteuid() == 0 && !cfg->allow_root) {
		(void)err_set(e, ERR_CONFIG, NULL, "functions-admin does not run as root");
		return err_hint(e,
				"Start it as a user of its own (the packaged service does), or set allow_root = on.");
	}
	/* Memory holds keys: no core file, and no debugger of the same user. The leak checker of a sanitizer is one. */
	if (setrlimit(RLIMIT_CORE, &none) != 0 || (!SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_errno(e, errno, "giving up privileges");
	/* Root that was told to stay root keeps what makes it root. */
	return geteuid() == 0 || drop_capabilities(e);
}

/* ---- System calls ---- */

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0
#endif

static const unsigned never_called[] = {
	SYS_execve,
	SYS_execveat,
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_chroot,
	SYS_unshare,
	SYS_setns,
	SYS_reboot,
	SYS_swapon,
	SYS_swapoff,
	SYS_init_module,
	SYS_finit_module,
	SYS_delete_module,
	SYS_kexec_load,
	SYS_bpf,
	SYS_perf_event_open,
	SYS_keyctl,
	SYS_add_key,
	SYS_request_key,
	SYS_userfaultfd,
	SYS_acct,
	SYS_settimeofday,
	SYS_clock_settime,
	SYS_sethostname,
	SYS_setdomainname,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_ptrace,
	SYS_open_by_handle_at,
	/* Its requests pass by this filter. */
	SYS_io_uring_setup,
};

#define NEVER (sizeof never_called / sizeof never_called[0])

static bool is_needed(unsigned number, bool may_execute)
{
	/* A leak checker traces its own process. */
	if (SANITIZED && (number == SYS_ptrace || number == SYS_process_vm_readv))
		return true;
	return may_execute && (number == SYS_execve || number == SYS_execveat);
}

/* Numbers of a call's arguments are 64 bits wide; of those looked at here the lower half counts, which comes first. */
#define ARGUMENT(n) ((unsigned)(offsetof(struct seccomp_data, args) + sizeof(uint64_t) * (n)))
#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define LOAD_CALL LOAD(offsetof(struct seccomp_data, nr))

struct filter {
	struct sock_filter code[2 * NEVER + 64];
	unsigned short n;
};

static void add(struct filter *f, struct sock_filter statement)
{
	f->code[f->n++] = statement;
}

static void refuse_call(struct filter *f, unsigned call)
{
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
	add(f, (struct sock_filter)REFUSE);
}

/* Of the call, but with one of these values in its argument. */
static void refuse_unless(struct filter *f, unsigned call, unsigned argument, const unsigned *values,
			  unsigned char count)
{
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, (unsigned char)(count + 2)));
	add(f, (struct sock_filter)LOAD(ARGUMENT(argument)));
	for (unsigned char i = 0; i < count; i++)
		add(f,
		    (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, values[i], (unsigned char)(count - i), 0));
	add(f, (struct sock_filter)REFUSE);
	add(f, (struct sock_filter)LOAD_CALL);
}

static void refuse_flag(struct filter *f, unsigned call, unsigned argument, unsigned flag)
{
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3));
	add(f, (struct sock_filter)LOAD(ARGUMENT(argument)));
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flag, 0, 1));
	add(f, (struct sock_filter)REFUSE);
	add(f, (struct sock_filter)LOAD_CALL);
}

/*
 * Ways around Landlock's ports, which watches bind() and connect() of plain TCP: MPTCP, which talks to any TCP server,
 * other transports and families, and sending that connects by itself (TCP Fast Open).
 */
static void refuse_detours(struct filter *f)
{
	static const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
	static const unsigned protocols[] = {0, IPPROTO_TCP, IPPROTO_UDP};

	refuse_unless(f, SYS_socket, 0, families, sizeof families / sizeof families[0]);
	refuse_unless(f, SYS_socket, 2, protocols, sizeof protocols / sizeof protocols[0]);
	refuse_flag(f, SYS_sendto, 3, MSG_FASTOPEN);
	refuse_flag(f, SYS_sendmsg, 2, MSG_FASTOPEN);
	refuse_flag(f, SYS_sendmmsg, 3, MSG_FASTOPEN);
}

/* Everything goes but what is listed, which fails with EPERM; calls of another architecture fail all. */
static bool filter_calls(bool may_execute, bool may_detour)
{
	struct filter f = {.n = 0};
	struct sock_fprog program = {.filter = f.code};

	add(&f, (struct sock_filter)LOAD(offsetof(struct seccomp_data, arch)));
	add(&f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0));
	add(&f, (struct sock_filter)REFUSE);
	add(&f, (struct sock_filter)LOAD_CALL);
#if defined(__x86_64__)
	/* x32 numbers the same calls anew, from this bit on. */
	add(&f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1));
	add(&f, (struct sock_filter)REFUSE);
#endif
	for (size_t i = 0; i < NEVER; i++)
		if (!is_needed(never_called[i], may_execute))
			refuse_call(&f, never_called[i]);
	if (!may_detour)
		refuse_detours(&f);
	add(&f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	program.len = f.n;
	return ARCHITECTURE != 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/* ---- Files ---- */

#define READS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* All of the first version of Landlock, and moving between folders of the second. */
#define ALL ((UINT64_C(1) << 13) - 1)
#define WRITES (ALL & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE)
#define OF_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

/* A path that is not there needs no leave. */
static bool allow(int rules, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access};
	struct stat st;
	bool ok;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return errno == ENOENT || errno == EACCES || errno == ENOTDIR;
	if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed_access &= OF_FILES;
	ok = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
	(void)close(rule.parent_fd);
	return ok;
}

/* The folder that a file lies in. */
static bool allow_folder_of(int rules, const char *file, uint64_t access)
{
	const char *slash = file != NULL ? strrchr(file, '/') : NULL;
	char folder[4096];

	if (slash == NULL || (size_t)(slash - file) >= sizeof folder)
		return true;
	(void)snprintf(folder, sizeof folder, "%.*s", slash > file ? (int)(slash - file) : 1, file);
	return allow(rules, folder, access);
}

static bool allow_list(int rules, const char *list, uint64_t access)
{
	char path[4096];

	while (list != NULL && *list != '\0') {
		size_t len = strcspn(list, ",");

		if (len > 0 && len < sizeof path) {
			(void)snprintf(path, sizeof path, "%.*s", (int)len, list);
			if (!allow(rules, path, access))
				return false;
		}
		list += len + strspn(list + len, ", ");
	}
	return true;
}

static bool allow_files(int rules, const struct config *cfg, uint64_t writes)
{
	static const char *const readable[] = {"/etc",  "/usr", "/lib", "/lib64",
					       "/proc", "/sys", "/dev", "/run/systemd/resolve"};
	const char *const writable[] = {cfg->functions_dir, cfg->spool_dir, cfg->secrets_dir, "/dev/null"};

	for (size_t i = 0; i < sizeof readable / sizeof readable[0]; i++)
		if (!allow(rules, readable[i], READS))
			return false;
	for (size_t i = 0; i < sizeof writable / sizeof writable[0]; i++)
		if (writable[i] != NULL && writable[i][0] != '\0' && !allow(rules, writable[i], writes))
			return false;
	return (!text_starts(cfg->listen, "unix:") || allow_folder_of(rules, cfg->listen + 5, writes)) &&
	       allow_folder_of(rules, cfg->pid_file, writes) && allow_list(rules, cfg->sandbox_paths, writes);
}

/* ---- Connections ---- */

/*
 * The kernel's documentation: https://docs.kernel.org/userspace-api/landlock.html, "Network flags", since version 4 of
 * Landlock (Linux 6.7). Older headers, such as Debian 12's, do not have these, nor the second member of the ruleset.
 */
#ifndef LANDLOCK_ACCESS_NET_BIND_TCP
#define LANDLOCK_ACCESS_NET_BIND_TCP (UINT64_C(1) << 0)
#define LANDLOCK_ACCESS_NET_CONNECT_TCP (UINT64_C(1) << 1)
#define LANDLOCK_RULE_NET_PORT 2

struct landlock_net_port_attr {
	/* cppcheck-suppress unusedStructMember; the kernel reads it */
	uint64_t allowed_access;
	/* cppcheck-suppress unusedStructMember; the kernel reads it */
	uint64_t port; /* in the host's byte order */
};
#endif

#define NET_VERSION 4

struct ruleset {
	uint64_t handled_access_fs;
	/* cppcheck-suppress unusedStructMember; the kernel reads it */
	uint64_t handled_access_net;
};

/* Answers that are too long for UDP are asked for over TCP. */
#define DNS_PORT 53

#define MAX_PORTS 64

struct ports {
	size_t count;
	int64_t list[MAX_PORTS];
};

static bool add_port(struct ports *p, int64_t port)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->list[i] == port)
			return true;
	if (p->count == MAX_PORTS)
		return false;
	p->list[p->count++] = port;
	return true;
}

static bool add_url(struct ports *p, const char *url)
{
	int64_t port;

	return url == NULL || !net_url_port(url, &port) || add_port(p, port);
}

static bool add_list(struct ports *p, const char *list)
{
	int64_t port;

	while (net_next_port(&list, &port))
		if (!add_port(p, port))
			return false;
	return true;
}

static bool allow_port(int rules, int64_t port, uint64_t access)
{
	const struct landlock_net_port_attr rule = {.allowed_access = access, .port = (uint64_t)port};

	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_NET_PORT, &rule, 0) == 0;
}

static bool allow_listening(int rules, const char *listen)
{
	const char *colon = strrchr(listen, ':');
	int64_t port;

	if (text_starts(listen, "unix:") || text_starts(listen, "fd:") || colon == NULL ||
	    !text_int64(colon + 1, 1, 65535, &port))
		return true;
	return allow_port(rules, port, LANDLOCK_ACCESS_NET_BIND_TCP);
}

/* So that an operator who is refused a connection sees why. */
static void tell_ports(const struct ports *p)
{
	char text[8 * MAX_PORTS];
	size_t len = 0;

	for (size_t i = 0; i < p->count; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, "%s%" PRId64, i > 0 ? ", " : "", p->list[i]);
	log_info("sandbox: TCP connections go to ports %s only; sandbox_ports allows more", text);
}

static bool allow_connections(int rules, const struct config *cfg, const char *database_ports)
{
	struct ports p = {.count = 0};

	if (!add_port(&p, DNS_PORT) || !add_list(&p, database_ports) || !add_url(&p, cfg->runtime_url) ||
	    !add_url(&p, cfg->jwks_url) || !add_list(&p, cfg->sandbox_ports)) {
		errno = E2BIG;
		return false;
	}
	for (size_t i = 0; i < p.count; i++)
		if (!allow_port(rules, p.list[i], LANDLOCK_ACCESS_NET_CONNECT_TCP))
			return false;
	tell_ports(&p);
	return allow_listening(rules, cfg->listen);
}

/* ---- Both ---- */

static bool confine(const struct config *cfg, const char *database_ports)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	/* From the second version on, renaming between folders is a right of its own; the first never allows it. */
	uint64_t refer = version >= 2 ? UINT64_C(1) << 13 : 0;
	bool net = version >= NET_VERSION;
	const struct ruleset attr = {.handled_access_fs = ALL | refer,
				     .handled_access_net =
					     LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP};
	int rules = version >= 1 ? (int)syscall(SYS_landlock_create_ruleset, &attr,
						net ? sizeof attr : sizeof attr.handled_access_fs, 0)
				 : -1;
	bool ok = rules >= 0 && allow_files(rules, cfg, WRITES | refer) &&
		  (!net || allow_connections(rules, cfg, database_ports)) &&
		  syscall(SYS_landlock_restrict_self, rules, 0) == 0;

	if (rules >= 0)
		(void)close(rules);
	if (ok && !net)
		log_info("sandbox: the kernel does not restrict connections here (version %ld of Landlock; Linux 6.7 "
			 "has %d); going on without",
			 version, NET_VERSION);
	return ok;
}

bool sandbox_enter(const struct config *cfg, const char *database_ports, struct err *e)
{
	bool preflight = cfg->preflight_command != NULL && cfg->preflight_command[0] != '\0';
	bool command = preflight || (cfg->secrets_key_command != NULL && cfg->secrets_key_command[0] != '\0');
	bool demanded = text_eq(cfg->sandbox, "on");

	if (text_eq(cfg->sandbox, "off"))
		return true;
	if (demanded && command) {
		(void)err_set(e, ERR_CONFIG, NULL, "sandbox = on and %s do not go together",
			      preflight ? "preflight_command" : "secrets_key_command");
		return err_hint(e, preflight ? "Set sandbox = auto, in which programs can be started."
					     : "Put the key into a file (secrets_key_file), or set sandbox = auto.");
	}
	if (demanded && !confine(cfg, database_ports)) {
		(void)err_set(e, ERR_CONFIG, NULL,
			      "sandbox = on: the kernel does not restrict files and connections (Landlock): %s",
			      strerror(errno));
		return err_hint(e, "Landlock needs Linux 5.13 or later; set sandbox = auto to go on without it.");
	}
	if (filter_calls(command, !demanded))
		return true;
	if (demanded) {
		(void)err_set(e, ERR_CONFIG, NULL, "sandbox = on: the kernel does not filter system calls: %s",
			      strerror(errno));
		return err_hint(e, "Set sandbox = auto to go on without it.");
	}
	log_info("sandbox: the kernel does not filter system calls here; going on without");
	return true;
}
