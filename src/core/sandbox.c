#include "core/sandbox.h"

#include "core/log.h"
#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
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
};

#define NEVER (sizeof never_called / sizeof never_called[0])

static bool is_needed(unsigned number, bool may_execute)
{
	/* A leak checker traces its own process. */
	if (SANITIZED && (number == SYS_ptrace || number == SYS_process_vm_readv))
		return true;
	return may_execute && (number == SYS_execve || number == SYS_execveat);
}

/* Everything goes but what is listed, which fails with EPERM; calls of another architecture fail all. */
static bool filter_calls(bool may_execute)
{
	struct sock_filter code[2 * NEVER + 8];
	struct sock_fprog program = {.filter = code};
	unsigned short n = 0;

	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
	/* x32 numbers the same calls anew, from this bit on. */
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
#endif
	for (size_t i = 0; i < NEVER; i++) {
		if (is_needed(never_called[i], may_execute))
			continue;
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, never_called[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	}
	/* cppcheck-suppress unreadVariable; it is read through program */
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = n;
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

static bool allow_all(int rules, const struct config *cfg, uint64_t writes)
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

static bool filter_files(const struct config *cfg)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	/* From the second version on, renaming between folders is a right of its own; the first never allows it. */
	uint64_t refer = version >= 2 ? UINT64_C(1) << 13 : 0;
	struct landlock_ruleset_attr attr = {.handled_access_fs = ALL | refer};
	int rules =
		version >= 1 ? (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0) : -1;
	bool ok = rules >= 0 && allow_all(rules, cfg, WRITES | refer) &&
		  syscall(SYS_landlock_restrict_self, rules, 0) == 0;

	if (rules >= 0)
		(void)close(rules);
	return ok;
}

bool sandbox_enter(const struct config *cfg, struct err *e)
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
	if (demanded && !filter_files(cfg)) {
		(void)err_set(e, ERR_CONFIG, NULL, "sandbox = on: the kernel does not restrict files (Landlock): %s",
			      strerror(errno));
		return err_hint(e, "Landlock needs Linux 5.13 or later; set sandbox = auto to go on without it.");
	}
	if (filter_calls(command))
		return true;
	if (demanded) {
		(void)err_set(e, ERR_CONFIG, NULL, "sandbox = on: the kernel does not filter system calls: %s",
			      strerror(errno));
		return err_hint(e, "Set sandbox = auto to go on without it.");
	}
	log_info("sandbox: the kernel does not filter system calls here; going on without");
	return true;
}
