// Command count reads `go test -json` from its standard input, prints one line
// for each package and everything about what failed or was skipped, and fails
// where a suite did not run as expected: something failed, something was skipped
// without leave, too few tests ran, or one that must run did not.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64
	Output     string
}

// slow is how many seconds make a test worth a line of its own.
const slow = 20

type suite struct {
	passed, failed, skipped int
	output                  map[string][]string // by package and test
	tests                   map[string]int      // tests passed, by package
	problems                []string
	ran                     map[string]bool // names of the tests that passed
}

func main() {
	least := flag.Int("least", 1, "how many tests must pass at least")
	must := flag.String("must", "", "tests that must pass, separated by commas")
	may := flag.String("may-skip", "^$", "tests that may be skipped, as a regular expression on package.Test")
	totals := flag.String("totals", "", "file to add `passed failed skipped` to")
	flag.Parse()
	s := suite{output: map[string][]string{}, tests: map[string]int{}, ran: map[string]bool{}}
	allowed := regexp.MustCompile(*may)

	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		var e event
		switch {
		case line == "":
		case json.Unmarshal([]byte(line), &e) != nil || e.Action == "":
			fmt.Print(line) // of make, vet or the compiler
		default:
			s.add(e, allowed)
		}
		if err != nil {
			break
		}
	}
	for name := range strings.SplitSeq(*must, ",") {
		if name != "" && !s.ran[name] {
			s.problems = append(s.problems, name+" did not run")
		}
	}
	if s.passed < *least {
		s.problems = append(s.problems, fmt.Sprintf("%d tests passed, %d expected at least", s.passed, *least))
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if *totals != "" {
		f, err := os.OpenFile(*totals, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = fmt.Fprintln(f, s.passed, s.failed, s.skipped)
			err = cmp.Or(err, f.Close())
		}
		if err != nil {
			s.problems = append(s.problems, err.Error())
		}
	}
	for _, p := range s.problems {
		fmt.Println("PROBLEM:", p)
	}
	if len(s.problems) > 0 {
		os.Exit(1)
	}
}

func (s *suite) add(e event, allowed *regexp.Regexp) {
	id := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		s.output[id] = append(s.output[id], e.Output)
	case "build-output":
		fmt.Print(e.Output)
	case "build-fail":
		s.problems = append(s.problems, e.ImportPath+" does not build")
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.end(e)
			return
		}
		s.test(e, id, allowed)
	}
}

func (s *suite) test(e event, id string, allowed *regexp.Regexp) {
	if e.Elapsed >= slow {
		fmt.Printf("      %-40s %7.1f s\n", e.Test, e.Elapsed)
	}
	switch e.Action {
	case "pass":
		s.passed++
		s.tests[e.Package]++
		s.ran[e.Test] = true
	case "fail":
		s.failed++
		s.problems = append(s.problems, "failed: "+id)
		fmt.Print(strings.Join(s.output[id], ""))
	case "skip":
		s.skipped++
		fmt.Print("SKIP ", id, ": ", strings.Join(slices.DeleteFunc(s.output[id], func(l string) bool {
			return strings.HasPrefix(strings.TrimSpace(l), "===") || strings.HasPrefix(strings.TrimSpace(l), "---")
		}), ""))
		if !allowed.MatchString(e.Package + "." + e.Test) {
			s.problems = append(s.problems, "skipped: "+id)
		}
	}
	delete(s.output, id)
}

// end is a package's end. Output of tests that never ended is of a panic or a
// time-out.
func (s *suite) end(e event) {
	if e.Action == "fail" {
		for _, id := range slices.Sorted(maps.Keys(s.output)) {
			if strings.HasPrefix(id, e.Package+" ") {
				fmt.Print(strings.Join(s.output[id], ""))
			}
		}
		s.problems = append(s.problems, "failed: "+e.Package)
	}
	if n := s.tests[e.Package]; n > 0 || e.Action == "fail" {
		fmt.Printf("%-5s %-70s %4d tests %7.1f s\n", e.Action, e.Package, n, e.Elapsed)
	}
	maps.DeleteFunc(s.output, func(id string, _ []string) bool { return strings.HasPrefix(id, e.Package+" ") })
}
