package sim

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// Alone runs f in a bubble of virtual time, in a program that is no test, and ends
// the program with the code that f gives. It never returns.
func Alone(f func(ctx context.Context) (code int)) {
	os.Args = os.Args[:1] // package testing would read the program's flags
	code := 1
	test := testing.InternalTest{Name: "scenario", F: func(t *testing.T) {
		synctest.Test(t, func(*testing.T) { code = f(context.Background()) })
		os.Exit(code)
	}}
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{test}, nil, nil)
	os.Exit(code)
}

// readyWithin bounds the start of a cloud.
const readyWithin = 10 * time.Minute
