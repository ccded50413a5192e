#include "core/crypto.h"

#include "core/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define KEY_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static struct crypto_key master;

static int setup(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	return crypto_init(&e) && crypto_init(&e) && crypto_master_key(KEY_HEX, &master, &e) ? 0 : -1;
}

static void random_hex_has_its_length(void **state)
{
	static const size_t sizes[] = {0, 1, 16, 20, 32, 33, 100};
	char a[201];
	char b[201];

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		crypto_random_hex(a, sizes[i]);
		crypto_random_hex(b, sizes[i]);
		assert_int_equal(strlen(a), 2 * sizes[i]);
		assert_int_equal(strspn(a, "0123456789abcdef"), 2 * sizes[i]);
		if (sizes[i] >= 16)
			assert_string_not_equal(a, b);
	}
}

static void uuids_are_version_four(void **state)
{
	char uuid[CRYPTO_UUID_SIZE];
	char before[CRYPTO_UUID_SIZE] = "";

	(void)state;
	for (int i = 0; i < 100; i++) {
		crypto_uuid(uuid);
		assert_int_equal(strlen(uuid), 36);
		for (size_t at = 0; at < 36; at++) {
			if (at == 8 || at == 13 || at == 18 || at == 23)
				assert_int_equal(uuid[at], '-');
			else
				assert_non_null(strchr("0123456789abcdef", uuid[at]));
		}
		assert_int_equal(uuid[14], '4');
		assert_non_null(strchr("89ab", uuid[19]));
		assert_string_not_equal(uuid, before);
		memcpy(before, uuid, sizeof uuid);
	}
}

/* The examples of FIPS 180-2. */
static void sha256_of_known_texts(void **state)
{
	static const struct {
		const char *text;
		const char *hex;
	} rows[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	};
	struct sha256 *h = sha256_new();
	uint8_t digest[SHA256_BYTES];
	char hex[SHA256_HEX_SIZE];

	(void)state;
	assert_non_null(h);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_true(crypto_sha256(rows[i].text, strlen(rows[i].text), digest));
		text_hex(digest, sizeof digest, hex);
		assert_string_equal(hex, rows[i].hex);
		/* The same in pieces, with one struct for all texts. */
		for (const char *c = rows[i].text; *c != '\0'; c++)
			sha256_update(h, c, 1);
		assert_true(sha256_final(h, digest));
		text_hex(digest, sizeof digest, hex);
		assert_string_equal(hex, rows[i].hex);
	}
	sha256_free(h);
	sha256_free(NULL);
}

static void master_keys(void **state)
{
	static const char *const wrong[] = {"", "00", KEY_HEX "00",
					    "g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
					    " 00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"};
	struct crypto_key key;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		assert_false(crypto_master_key(wrong[i], &key, &e));
		assert_int_equal(e.kind, ERR_CONFIG);
		assert_non_null(strstr(e.message, "master_key"));
		assert_true(e.hint[0] != '\0');
		assert_null(strstr(e.message, "0102"));
	}
	assert_true(crypto_master_key(KEY_HEX, &key, &e));
	assert_memory_equal(&key, &master, sizeof key);
	crypto_key_wipe(&key);
	for (size_t i = 0; i < sizeof key; i++)
		assert_int_equal(key.bytes[i], 0);
}

/* What is stored depends on these bytes: a change of them would make every token and secret unreadable. */
static void derivation_never_changes(void **state)
{
	struct crypto_key tokens;
	struct crypto_key secrets;
	uint8_t hash[CRYPTO_HASH_BYTES];
	char hex[65];

	(void)state;
	crypto_subkey(&master, CRYPTO_ACCESS_TOKENS, &tokens);
	crypto_subkey(&master, CRYPTO_SECRETS, &secrets);
	assert_memory_not_equal(&tokens, &secrets, sizeof tokens);
	assert_memory_not_equal(&tokens, &master, sizeof tokens);
	crypto_keyed_hash(&tokens, "sbp_0123456789abcdef0123456789abcdef01234567", 44, hash);
	text_hex(hash, sizeof hash, hex);
	assert_string_equal(hex, "1674067e6b343306e5bdc75c8c0d67e1f92be288d554f790d6ab163dc146a77a");
	crypto_keyed_hash(&secrets, "sbp_0123456789abcdef0123456789abcdef01234567", 44, hash);
	text_hex(hash, sizeof hash, hex);
	assert_string_not_equal(hex, "1674067e6b343306e5bdc75c8c0d67e1f92be288d554f790d6ab163dc146a77a");
}

static void what_is_sealed_opens_again(void **state)
{
	static const size_t sizes[] = {0, 1, 31, 32, 1000, 24576};
	struct buf sealed = BUF_INIT(65536);
	struct buf again = BUF_INIT(65536);
	struct buf plain = BUF_INIT(65536);
	uint8_t text[24576];
	uint8_t id[CRYPTO_KEY_ID_BYTES];
	uint8_t found[CRYPTO_KEY_ID_BYTES];
	struct err e = ERR_INIT;

	(void)state;
	crypto_random(text, sizeof text);
	crypto_key_id(&master, id);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		buf_clear(&sealed);
		buf_clear(&again);
		buf_clear(&plain);
		assert_true(crypto_seal(&master, "secret:a", text, sizes[i], &sealed, &e));
		assert_int_equal(sealed.len, sizes[i] + CRYPTO_SEAL_OVERHEAD);
		assert_true(crypto_sealed_key_id(sealed.data, sealed.len, found));
		assert_memory_equal(id, found, sizeof id);
		assert_true(crypto_open(&master, "secret:a", sealed.data, sealed.len, &plain, &e));
		assert_int_equal(plain.len, sizes[i]);
		if (sizes[i] > 0)
			assert_memory_equal(plain.data, text, sizes[i]);
		/* A nonce of its own each time: equal secrets do not look equal. */
		assert_true(crypto_seal(&master, "secret:a", text, sizes[i], &again, &e));
		assert_memory_not_equal(sealed.data, again.data, sealed.len);
	}
	buf_free(&sealed);
	buf_free(&again);
	buf_free(&plain);
}

static void what_was_touched_does_not_open(void **state)
{
	struct buf sealed = BUF_INIT(4096);
	struct buf plain = BUF_INIT(4096);
	struct crypto_key other;
	uint8_t id[CRYPTO_KEY_ID_BYTES];
	struct err e = ERR_INIT;

	(void)state;
	crypto_random(&other, sizeof other);
	assert_true(crypto_seal(&master, "secret:a", "value", 5, &sealed, &e));
	for (size_t i = 0; i < sealed.len; i++) {
		sealed.data[i] ^= 1;
		assert_false(crypto_open(&master, "secret:a", sealed.data, sealed.len, &plain, &e));
		assert_int_equal(e.kind, ERR_INTERNAL);
		assert_string_equal(e.code, i >= 1 && i <= 4 ? "wrong_key" : "not_sealed_here");
		sealed.data[i] ^= 1;
	}
	for (size_t len = 0; len < sealed.len; len++)
		assert_false(crypto_open(&master, "secret:a", sealed.data, len, &plain, &e));
	assert_false(crypto_open(&master, "secret:b", sealed.data, sealed.len, &plain, &e));
	assert_string_equal(e.code, "not_sealed_here");
	assert_false(crypto_open(&master, "", sealed.data, sealed.len, &plain, &e));
	assert_false(crypto_open(&other, "secret:a", sealed.data, sealed.len, &plain, &e));
	assert_string_equal(e.code, "wrong_key");
	assert_true(e.hint[0] != '\0');
	assert_int_equal(plain.len, 0);
	assert_true(crypto_open(&master, "secret:a", sealed.data, sealed.len, &plain, &e));
	assert_string_equal(plain.data, "value");
	assert_false(crypto_sealed_key_id(sealed.data, CRYPTO_SEAL_OVERHEAD - 1, id));
	sealed.data[0] = 2;
	assert_false(crypto_sealed_key_id(sealed.data, sealed.len, id));
	buf_free(&sealed);
	buf_free(&plain);
}

static void a_full_buffer_is_an_error(void **state)
{
	struct buf sealed = BUF_INIT(4096);
	struct buf small = BUF_INIT(4);
	struct err e = ERR_INIT;

	(void)state;
	assert_false(crypto_seal(&master, "c", "value", 5, &small, &e));
	assert_int_equal(e.kind, ERR_NO_MEMORY);
	assert_true(crypto_seal(&master, "c", "value", 5, &sealed, &e));
	buf_clear(&small);
	assert_false(crypto_open(&master, "c", sealed.data, sealed.len, &small, &e));
	assert_int_equal(e.kind, ERR_NO_MEMORY);
	buf_free(&sealed);
	buf_free(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_hex_has_its_length),      cmocka_unit_test(uuids_are_version_four),
		cmocka_unit_test(sha256_of_known_texts),          cmocka_unit_test(master_keys),
		cmocka_unit_test(derivation_never_changes),       cmocka_unit_test(what_is_sealed_opens_again),
		cmocka_unit_test(what_was_touched_does_not_open), cmocka_unit_test(a_full_buffer_is_an_error),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
