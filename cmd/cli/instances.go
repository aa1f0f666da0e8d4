package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
)

func (s *shell) instances() *cobra.Command {
	return group("instances", "instances as the hosts' libvirt sees them",
		cmd("where UUID", "where an instance runs, by the hosts' libvirt and by Nova", cobra.ExactArgs(1), func(ctx context.Context, a []string) error {
			return s.page(ctx, "/v1/instances/"+url.PathEscape(a[0]), &api.Whereabouts{})
		}),
		cmd("ended", "instances that ended by themselves while their host lived, and what was done", cobra.NoArgs, func(ctx context.Context, _ []string) error {
			var all []evacuate.GuestRestart
			if err := s.get(ctx, "/v1/restarts", &all); err != nil {
				return err
			}
			return s.print(all, func(w io.Writer) {
				fmt.Fprintln(w, "AT\tINSTANCE\tHOST\tCAUSE\tDONE\tWHY")
				for _, x := range all {
					server, host := string(x.Server), string(x.Host)
					if x.Count > 1 {
						server, host = fmt.Sprintf("%d instances", x.Count), x.Detail
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", x.At.UTC().Format(time.DateTime), server, host, x.Cause, x.State, x.Reason)
				}
			})
		}))
}
