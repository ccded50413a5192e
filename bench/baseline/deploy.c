/*
 * The floor for deploys: one PostgreSQL transaction with the files' bytes, and the same files written, fsynced and
 * renamed into place. Nothing is checked, recorded or kept consistent. Prints the milliseconds of each deploy.
 *
 * usage: deploy FOLDER COUNT FILES BYTES_A_FILE   (the connection from libpq's environment, PGHOST and so on)
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what, PGconn *c)
{
	fprintf(stderr, "deploy: %s: %s\n", what, c != NULL ? PQerrorMessage(c) : "failed");
	exit(1);
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void run(PGconn *c, const char *sql)
{
	PGresult *r = PQexec(c, sql);

	if (PQresultStatus(r) != PGRES_COMMAND_OK)
		fail(sql, c);
	PQclear(r);
}

static void synced(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | flags);

	if (fd < 0 || fsync(fd) != 0 || close(fd) != 0)
		fail(path, NULL);
}

int main(int argc, char **argv)
{
	PGconn *c = PQconnectdb("");
	int count = argc > 4 ? atoi(argv[2]) : 0;
	int files = argc > 4 ? atoi(argv[3]) : 0;
	size_t size = argc > 4 ? (size_t)atol(argv[4]) : 0;
	char *data = malloc(size + 1);
	PGresult *r;

	if (count < 1 || files < 1 || data == NULL || PQstatus(c) != CONNECTION_OK)
		fail("usage, or no database", c);
	run(c, "CREATE TABLE IF NOT EXISTS public.floor_files (deploy int, n int, data bytea)");
	run(c, "ALTER TABLE public.floor_files ALTER data SET STORAGE EXTERNAL");
	r = PQprepare(c, "put", "INSERT INTO public.floor_files VALUES ($1::int, $2::int, $3::bytea)", 3, NULL);
	if (PQresultStatus(r) != PGRES_COMMAND_OK)
		fail("prepare", c);
	PQclear(r);
	for (size_t i = 0; i < size; i++)
		data[i] = (char)rand();
	for (int i = 0; i < count; i++) {
		double started = now_ms();
		char staging[4096];
		char path[4200];
		char active[4096];

		snprintf(staging, sizeof staging, "%s/new-%d", argv[1], i);
		snprintf(active, sizeof active, "%s/release-%d", argv[1], i);
		if (mkdir(staging, 0755) != 0)
			fail(staging, NULL);
		run(c, "BEGIN");
		for (int n = 0; n < files; n++) {
			char a[16];
			char b[16];
			const char *values[] = {a, b, data};
			int lengths[] = {0, 0, (int)size};
			int formats[] = {0, 0, 1};
			int fd;

			snprintf(a, sizeof a, "%d", i);
			snprintf(b, sizeof b, "%d", n);
			snprintf(path, sizeof path, "%s/%d.ts", staging, n);
			memcpy(data, &i, sizeof i);
			fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
			if (fd < 0 || write(fd, data, size) != (ssize_t)size || fsync(fd) != 0 || close(fd) != 0)
				fail(path, NULL);
			r = PQexecPrepared(c, "put", 3, values, lengths, formats, 1);
			if (PQresultStatus(r) != PGRES_COMMAND_OK)
				fail("put", c);
			PQclear(r);
		}
		synced(staging, O_DIRECTORY);
		run(c, "COMMIT");
		if (rename(staging, active) != 0)
			fail(active, NULL);
		synced(argv[1], O_DIRECTORY);
		printf("%.3f\n", now_ms() - started);
	}
	run(c, "DROP TABLE public.floor_files");
	PQfinish(c);
	return 0;
}
