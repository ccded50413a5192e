/* Each case runs in a process of its own, since nobody leaves a sandbox again. */
#include "core/sandbox.h"

#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char inside[64];
static char outside[64];

/* Two ports that somebody listens on. */
static struct sockaddr_in database;
static struct sockaddr_in elsewhere;

static struct config settings(char *mode)
{
	return (struct config){.sandbox = mode, .listen = "fd:3", .functions_dir = inside, .allow_root = true};
}

static const char *as_text(const struct sockaddr_in *address, char text[8])
{
	(void)snprintf(text, 8, "%u", (unsigned)ntohs(address->sin_port));
	return text;
}

/* What `attempt` gave in a child that has entered: 0, or errno. */
static int in_sandbox(const struct config *cfg, int (*attempt)(void))
{
	char port[8];
	const char *database_ports = as_text(&database, port);
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct err e = ERR_INIT;

		if (!sandbox_harden(cfg, &e) || !sandbox_enter(cfg, database_ports, &e)) {
			(void)fprintf(stderr, "%s\n", e.message);
			_exit(200);
		}
		_exit(attempt());
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int try_open(const char *folder, const char *name, int flags)
{
	char path[160];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	fd = open(path, flags, 0600);
	if (fd < 0)
		return errno;
	(void)close(fd);
	return 0;
}

static int write_inside(void)
{
	return try_open(inside, "new", O_CREAT | O_WRONLY);
}

static int write_outside(void)
{
	return try_open(outside, "new", O_CREAT | O_WRONLY);
}

static int read_outside(void)
{
	return try_open(outside, "there", O_RDONLY);
}

static int move_inside(void)
{
	char from[128];
	char to[128];

	(void)snprintf(from, sizeof from, "%s/new", inside);
	(void)snprintf(to, sizeof to, "%s/sub/moved", inside);
	return rename(from, to) == 0 ? 0 : errno;
}

static int read_system(void)
{
	return try_open("/etc", "passwd", O_RDONLY);
}

static int write_system(void)
{
	return try_open("/etc", "functions-admin-test", O_CREAT | O_WRONLY);
}

static int execute(void)
{
	(void)execl("/bin/true", "true", (char *)NULL);
	return errno;
}

static int mount_something(void)
{
	return mount("none", inside, "tmpfs", 0, NULL) == 0 ? 0 : errno;
}

static int core_size(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_CORE, &l) == 0 && l.rlim_max == 0 ? 0 : 1;
}

static int connect_to(const struct sockaddr_in *address, int protocol)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, protocol);
	int failed = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;

	if (fd >= 0)
		(void)close(fd);
	return failed;
}

static int connect_to_database(void)
{
	return connect_to(&database, 0);
}

static int connect_elsewhere(void)
{
	return connect_to(&elsewhere, 0);
}

/* Multipath TCP, which talks to any TCP server. */
static int connect_by_mptcp(void)
{
	return connect_to(&elsewhere, 262);
}

static int other_family(void)
{
	return socket(AF_VSOCK, SOCK_STREAM, 0) >= 0 ? 0 : errno;
}

/* TCP Fast Open, by each call that sends: the first that is not refused is the answer. */
static int connect_by_sending(void)
{
	char byte = 'x';
	struct iovec data = {.iov_base = &byte, .iov_len = 1};
	struct mmsghdr several = {
		.msg_hdr = {
			.msg_name = &elsewhere, .msg_namelen = sizeof elsewhere, .msg_iov = &data, .msg_iovlen = 1}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return errno;
	if (sendto(fd, &byte, 1, MSG_FASTOPEN, (const struct sockaddr *)&elsewhere, sizeof elsewhere) >= 0 ||
	    errno != EPERM || sendmsg(fd, &several.msg_hdr, MSG_FASTOPEN) >= 0 || errno != EPERM ||
	    sendmmsg(fd, &several, 1, MSG_FASTOPEN) >= 0)
		return 0;
	return errno;
}

static int start_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL) >= 0 ? 0 : errno;
}

static int send_by_udp(void)
{
	char byte = 'x';
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && sendto(fd, &byte, 1, 0, (const struct sockaddr *)&elsewhere, sizeof elsewhere) == 1 ? 0
													      : errno;
}

/* The port is taken: EADDRINUSE where the kernel came to look. */
static int bind_database_port(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind(fd, (const struct sockaddr *)&database, sizeof database) == 0 ? 0 : errno;
}

static bool restricts_connections(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 4;
}

static void needs_restricted_connections(void)
{
	if (restricts_connections())
		return;
	print_message("the kernel's Landlock is older than version 4: connections are not restricted\n");
	skip();
}

static void connections_go_where_they_must(void **state)
{
	const struct config on = settings("on");
	const struct config automatic = settings("auto");

	(void)state;
	needs_restricted_connections();
	assert_int_equal(in_sandbox(&on, connect_to_database), 0);
	assert_int_equal(in_sandbox(&on, connect_elsewhere), EACCES);
	assert_int_equal(in_sandbox(&on, send_by_udp), 0);
	assert_int_equal(in_sandbox(&automatic, connect_elsewhere), 0);
}

static void ports_come_from_the_configuration(void **state)
{
	struct config on = settings("on");
	char port[8];
	char text[64];

	(void)state;
	needs_restricted_connections();
	(void)snprintf(text, sizeof text, "http://127.0.0.1:%s/path", as_text(&elsewhere, port));
	on.runtime_url = text;
	assert_int_equal(in_sandbox(&on, connect_elsewhere), 0);
	on.runtime_url = "http://127.0.0.1";
	assert_int_equal(in_sandbox(&on, connect_elsewhere), EACCES);
	on.jwks_url = text;
	assert_int_equal(in_sandbox(&on, connect_elsewhere), 0);
	on.jwks_url = NULL;
	(void)snprintf(text, sizeof text, "1, %s", port);
	on.sandbox_ports = text;
	assert_int_equal(in_sandbox(&on, connect_elsewhere), 0);
}

/* Needs no Landlock: what it does not watch is refused by the filter of system calls. */
static void there_is_no_way_around(void **state)
{
	const struct config on = settings("on");

	(void)state;
	assert_int_equal(in_sandbox(&on, connect_by_mptcp), EPERM);
	assert_int_equal(in_sandbox(&on, connect_by_sending), EPERM);
	assert_int_equal(in_sandbox(&on, other_family), EPERM);
	assert_int_equal(in_sandbox(&on, start_io_uring), EPERM);
}

static void only_the_port_of_listen_is_bound(void **state)
{
	struct config on = settings("on");
	char port[8];
	char listen[32];

	(void)state;
	needs_restricted_connections();
	assert_int_equal(in_sandbox(&on, bind_database_port), EACCES);
	(void)snprintf(listen, sizeof listen, "127.0.0.1:%s", as_text(&database, port));
	on.listen = listen;
	assert_int_equal(in_sandbox(&on, bind_database_port), EADDRINUSE);
}

static void files_outside_are_out_of_reach(void **state)
{
	const struct config on = settings("on");

	(void)state;
	assert_int_equal(in_sandbox(&on, write_inside), 0);
	assert_int_equal(in_sandbox(&on, move_inside), 0);
	assert_int_equal(in_sandbox(&on, read_system), 0);
	assert_int_equal(in_sandbox(&on, write_outside), EACCES);
	assert_int_equal(in_sandbox(&on, read_outside), EACCES);
	assert_int_equal(in_sandbox(&on, write_system), EACCES);
}

static void more_paths_can_be_allowed(void **state)
{
	struct config on = settings("on");
	char list[160];

	(void)state;
	(void)snprintf(list, sizeof list, "/nowhere, %s", outside);
	on.sandbox_paths = list;
	assert_int_equal(in_sandbox(&on, read_outside), 0);
}

static void nothing_is_executed_or_mounted(void **state)
{
	char *modes[] = {"on", "auto"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct config cfg = settings(modes[i]);

		assert_int_equal(in_sandbox(&cfg, execute), EPERM);
		assert_int_equal(in_sandbox(&cfg, mount_something), EPERM);
	}
}

static void automatic_leaves_files_and_off_leaves_all(void **state)
{
	const struct config automatic = settings("auto");
	const struct config off = settings("off");

	(void)state;
	assert_int_equal(in_sandbox(&automatic, read_outside), 0);
	assert_int_equal(in_sandbox(&off, read_outside), 0);
	assert_int_equal(in_sandbox(&off, execute), 0);
	assert_int_equal(in_sandbox(&off, core_size), 0);
}

static void root_and_key_commands_are_refused(void **state)
{
	struct config cfg = settings("on");
	struct err e = ERR_INIT;

	(void)state;
	cfg.secrets_key_command = "cat key";
	assert_false(sandbox_enter(&cfg, "", &e));
	assert_int_equal(e.kind, ERR_CONFIG);
	cfg.allow_root = false;
	if (geteuid() == 0) {
		assert_false(sandbox_harden(&cfg, &e));
		assert_string_equal(e.message, "functions-admin does not run as root");
	}
}

static bool start_listening(struct sockaddr_in *address)
{
	socklen_t len = sizeof *address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	return fd >= 0 && bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 && listen(fd, 16) == 0 &&
	       getsockname(fd, (struct sockaddr *)address, &len) == 0;
}

static int make_folders(void **state)
{
	char path[128];
	int fd;

	(void)state;
	(void)snprintf(inside, sizeof inside, "/tmp/fa-sandbox-XXXXXX");
	(void)snprintf(outside, sizeof outside, "/tmp/fa-sandbox-XXXXXX");
	if (!start_listening(&database) || !start_listening(&elsewhere) || mkdtemp(inside) == NULL ||
	    mkdtemp(outside) == NULL)
		return 1;
	(void)snprintf(path, sizeof path, "%s/sub", inside);
	if (mkdir(path, 0700) != 0)
		return 1;
	(void)snprintf(path, sizeof path, "%s/there", outside);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	return fd >= 0 && close(fd) == 0 ? 0 : 1;
}

static int remove_folders(void **state)
{
	const char *const names[] = {"sub/moved", "sub", "new", "there", ""};
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", inside, names[i]);
		(void)remove(path);
		(void)snprintf(path, sizeof path, "%s/%s", outside, names[i]);
		(void)remove(path);
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_outside_are_out_of_reach),
		cmocka_unit_test(more_paths_can_be_allowed),
		cmocka_unit_test(nothing_is_executed_or_mounted),
		cmocka_unit_test(automatic_leaves_files_and_off_leaves_all),
		cmocka_unit_test(connections_go_where_they_must),
		cmocka_unit_test(ports_come_from_the_configuration),
		cmocka_unit_test(there_is_no_way_around),
		cmocka_unit_test(only_the_port_of_listen_is_bound),
		cmocka_unit_test(root_and_key_commands_are_refused),
	};

	return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
