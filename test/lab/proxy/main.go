// Command proxy stands between Lifeboat and the lab's nova-api, and fails as networks and
// load balancers do. How is a file's matter, read at each request: a mode and for how many
// requests. Only what is asked after the mode was written counts.
//
//	pass    every request goes through
//	503     every request is answered 503
//	reset   the connection is reset before Nova hears of the request
//	lost    Nova does what a POST asks; then the connection is reset
//	late    Nova does what a POST asks; its answer is held for five minutes
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

const heldFor = 5 * time.Minute

type proxy struct {
	next http.Handler
	mode string // the file

	mu    sync.Mutex
	as    string
	count int
	read  time.Time // the file's time
}

// take gives the mode that is due for a request.
func (p *proxy) take(post bool) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, err := os.Stat(p.mode); err != nil {
		return "pass"
	} else if !at.ModTime().Equal(p.read) {
		text, _ := os.ReadFile(p.mode)
		if _, err := fmt.Sscan(string(text), &p.as, &p.count); err != nil {
			log.Printf("%s: %q: want a mode and a count", p.mode, text)
			return "pass"
		}
		p.read = at.ModTime()
	}
	needsPOST := p.as == "lost" || p.as == "late"
	if p.as == "pass" || p.count <= 0 || needsPOST && !post {
		return "pass"
	}
	p.count--
	return p.as
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	as := p.take(r.Method == http.MethodPost)
	if as != "pass" {
		log.Printf("%s %s %s", as, r.Method, r.URL.Path)
	}
	switch as {
	case "503":
		http.Error(w, "no server is available to handle this request", http.StatusServiceUnavailable)
	case "reset":
		reset(w)
	case "lost", "late":
		p.next.ServeHTTP(httptest.NewRecorder(), r)
		if as == "late" {
			select {
			case <-time.After(heldFor):
			case <-r.Context().Done():
			}
		}
		reset(w)
	default:
		p.next.ServeHTTP(w, r)
	}
}

// reset ends the connection with a RST.
func reset(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		log.Printf("hijack: %v", err)
		return
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

func main() {
	listen := flag.String("listen", "", "address")
	to := flag.String("to", "", "URL of nova-api")
	mode := flag.String("mode", "", "file")
	flag.Parse()
	u, err := url.Parse(*to)
	if err != nil || *listen == "" || *mode == "" {
		flag.Usage()
		os.Exit(2)
	}
	p := &proxy{next: httputil.NewSingleHostReverseProxy(u), mode: *mode}
	s := &http.Server{Addr: *listen, Handler: p, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(s.ListenAndServe())
}
