"""nova-compute with our virt driver. Nova loads drivers from nova.virt only: so that
package gets one more directory, this one."""
import os
import sys

from nova.cmd import compute  # first: it patches what eventlet must patch
import nova.virt

nova.virt.__path__.append(os.path.dirname(os.path.abspath(__file__)))
sys.exit(compute.main())
