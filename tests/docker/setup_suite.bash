# SPDX-License-Identifier: Apache-2.0
# Once for all files of tier docker.
setup_suite() {
        load lib
        docker_home
}

teardown_suite() {
        load lib
        docker_home_end
}
