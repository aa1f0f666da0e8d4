package identity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestToken(t *testing.T) {
	fp := strings.Repeat("Ab", 32)
	token, err := NewToken(fp)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseToken(" " + token.Reveal() + "\n")
	if err != nil || got != token {
		t.Fatalf("got %v %v, want %v", got, err, token)
	}
	if !MatchesHash(got.Secret().Reveal(), token.Hash()) || MatchesHash("other", token.Hash()) || MatchesHash("", nil) {
		t.Error("the hash does not tell the secret from others")
	}
	if other, _ := NewToken(fp); other.secret == token.secret || other.ID == token.ID {
		t.Error("two tokens are the same")
	}
	if _, err := NewToken("ab"); err == nil {
		t.Error("a short fingerprint was taken")
	}
}

func TestTokenRefuses(t *testing.T) {
	token, err := NewToken(strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	whole := token.Reveal()
	for name, test := range map[string]struct{ in, want string }{
		"nothing":           {"", "copy it whole"},
		"another version":   {"lb2" + whole[3:], "no token"},
		"cut short":         {whole[:40], "no token"},
		"a digit short":     {whole[:len(whole)-1], "fingerprint"},
		"damaged id":        {strings.Replace(whole, token.ID, "zz"+token.ID[2:], 1), "id is damaged"},
		"damaged secret":    {strings.Replace(whole, token.secret, token.secret[1:], 1), "secret is damaged"},
		"one part too many": {whole + ".x", "no token"},
	} {
		_, err := ParseToken(test.in)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), token.secret) {
			t.Errorf("%s: the error shows the secret", name)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	token, err := NewToken(strings.Repeat("ab", 32))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token.Reveal())
	f.Add("lb1...")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseToken(s)
		if err != nil {
			return
		}
		if again, err := ParseToken(got.Reveal()); err != nil || again != got {
			t.Errorf("%q: %v %v", s, again, err)
		}
	})
}

func TestLoadSecret(t *testing.T) {
	dir := t.TempDir()
	write := func(name, data string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(data), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Setenv("LIFEBOAT_TEST_SECRET", "from env\n")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	write("cred", "from systemd\n", 0o440) // systemd's own mode
	for name, test := range map[string]struct {
		from       Source
		want, fail string
	}{
		"file":                 {from: Source{File: write("ok", "from file\r\n", 0o600)}, want: "from file"},
		"file without newline": {from: Source{File: write("ok2", " a b ", 0o400)}, want: " a b "},
		"environment":          {from: Source{Env: "LIFEBOAT_TEST_SECRET"}, want: "from env"},
		"credential":           {from: Source{Credential: "cred"}, want: "from systemd"},

		"nothing":             {from: Source{}, fail: "not in 0 of them"},
		"two":                 {from: Source{File: "a", Env: "B"}, fail: "not in 2 of them"},
		"readable by group":   {from: Source{File: write("g", "x", 0o640)}, fail: "chmod 600 " + filepath.Join(dir, "g")},
		"readable by all":     {from: Source{File: write("o", "x", 0o604)}, fail: "chmod 600"},
		"missing file":        {from: Source{File: filepath.Join(dir, "none")}, fail: "there is no file"},
		"empty file":          {from: Source{File: write("e", "\n", 0o600)}, fail: "is empty"},
		"a directory":         {from: Source{File: dir}, fail: "no file"},
		"no variable":         {from: Source{Env: "LIFEBOAT_TEST_NONE"}, fail: "no variable LIFEBOAT_TEST_NONE"},
		"no credential":       {from: Source{Credential: "none"}, fail: "LoadCredential=none:PATH"},
		"credential climbing": {from: Source{Credential: "../x"}, fail: "without a path"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := LoadSecret(test.from)
			switch {
			case test.fail == "" && (err != nil || got.Reveal() != test.want):
				t.Errorf("got %q, %v", got.Reveal(), err)
			case test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail)):
				t.Errorf("got %v, want %q", err, test.fail)
			}
		})
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := LoadSecret(Source{Credential: "cred"}); err == nil || !strings.Contains(err.Error(), "no credentials") {
		t.Errorf("without systemd: %v", err)
	}
}
