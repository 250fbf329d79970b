/** Machine code as Mesa 26.1.6 prints it of this project's kernels, with most of what blocks hold left out. */

/**
 * RDNA3, `layerNorm/workgroup` and `conv2d/tiled`: a loop that is entered in its middle (BB8), with padding behind the jump;
 * then two nested ones (BB32, BB35).
 */
export const ACO = `BB0:
	v_mbcnt_lo_u32_b32 v1, -1, 0                                ; d71f0001 000100c1
	ds_store_b128 v1, v[4:7]                                    ; db7c0000 00000401
	s_cbranch_scc0 BB79                                         ; bfa1016a
BB7:
	s_mov_b64 s[4:5], -1                                        ; be8401c1
	s_branch BB8                                                ; bfa0000c
	s_nop 0                                                     ; bf800000
	(then repeated 10 times)
BB15:
	v_add_nc_u32_e32 v5, 64, v5                                 ; 4a0a0ac0
BB8:
	s_delay_alu instid0(VALU_DEP_1)                             ; bf870001
	v_cmpx_le_u32_e32 s10, v5                                   ; 7d960a0a
BB9:
	s_cbranch_scc0 BB16                                         ; bfa10019
BB13:
	buffer_load_b64 v[6:7], v6, s[12:15], 0 offen               ; e0540000 80430606
	s_waitcnt vmcnt(0)                                          ; bf8903f7
	v_fma_mix_f32 v4, 1.0, v6, v4 op_sel_hi:[0,1,0]             ; cc200004 14120cf2
	s_cbranch_scc0 BB15                                         ; bfa1ffe1
BB16:
	s_barrier                                                   ; bfbd0000
	s_branch BB32                                               ; bfa00001
BB78:
	s_add_u32 s10, s10, 1                                       ; 800a810a
BB32:
	s_cmp_ge_u32 s10, s25                                       ; bf09190a
	s_cbranch_scc1 BB79                                         ; bfa20542
BB34:
	s_mov_b32 s32, 0                                            ; bea00080
	s_branch BB35                                               ; bfa00001
BB75:
	s_add_u32 s32, s32, 4                                       ; 80208420
BB35:
	s_cmp_ge_u32 s32, s18                                       ; bf091220
	s_cbranch_scc1 BB76                                         ; bfa20532
BB37:
	ds_store_b128 v40, v[44:47] offset:6144                     ; db7c1800 00002c28
	s_barrier                                                   ; bfbd0000
	ds_load_b64 v[42:43], v40                                   ; d9d80000 2a000028
	ds_load_2addr_b32 v[44:45], v40 offset1:1                   ; d8dc0100 2c000028
	v_mul_f32_e32 v41, v42, v44                                 ; 1052592a
	v_fmac_f32_e32 v41, v43, v45                                ; 56525b2b
	v_mul_lo_u32 v4, v4, s32                                    ; d72c0004 00004104
	v_exp_f32_e32 v5, v4                                        ; 7e0a4b04
	v_dual_fmac_f32 v2, v11, v18 :: v_dual_add_nc_u32 v5, s27, v5 ; c820250b 02040a1b
	v_wmma_f32_16x16x16_f16 v[24:31], v[56:63], v[72:79], v[24:31] ; cc404018 1c629138
	scratch_store_b32 off, v1, s32 offset:8                     ; dc690008 00200100
	s_barrier                                                   ; bfbd0000
	s_cbranch_scc0 BB75                                         ; bfa1faca
BB76:
	s_cbranch_scc0 BB78                                         ; bfa1fab4
BB79:
	buffer_store_b64 v[6:7], v6, s[12:15], 0 offen              ; e06c0000 80430606
	s_endpgm                                                    ; bfb00000
`;

/** Ampere, `layerNorm/workgroup`: a loop (blocks 5 to 10 and 13) whose way out (11, 12) stands before its last block. */
export const NAK = `block.u 0 L3 [] -> {
      b0      = bclear                                     // delay=1
      r6      = s2r sr[0x21]                               // delay=2 wr:0
      r7      = shf.l.w.i32 r6 rZ 0x4                      // delay=4 wt=000001
@!p0            bra pT L8                                  // delay=1
} -> [1, 9]
block 1 L12 [0] -> {
      ur0     = imad ur1 ur5 ur0                           // delay=4 wt=100000
      p0      = isetp.lt.u32 r12 c[0x1][0x8]               // delay=13
} -> [2]
block 2 L11 [1, 8] -> {
      b2      = bssy b2 pT L13                             // delay=1
@!p0            bra pT L17                                 // delay=1 wt=001111
} -> [3, 4]
block 3 L16 [2] -> {
      r20     = mov r13                                    // delay=1
                bra pT L15                                 // delay=1
} -> [5]
block 4 L17 [2] -> {
      r15     = ld.global.a64.constant.u16 [r16..18], p0   // delay=2 rd:0 wr:1
      r15     = f2f.f32.f16.re r15                         // delay=1 wt=000010 wr:0
      r15     = ffma.ftz r8 r15 r14                        // delay=4
      r68..72  = hmma.m16n8k16.f32 r64..68 r58..60 r68..72          // delay=1 wr:1
      r4..8   = ld.shared.strong.cta.b128 [r2.x16]         // delay=1 wr:0
                st.shared.strong.cta.b64 [r2.x8] r0..2     // delay=1 rd:0
      r5      = mufu.rcp.f32 r5                            // delay=1 wr:0
} -> [5]
block 5 L15 [3, 4] -> {
                bsync b2 pT                                // delay=1 yld
                nop L13                                    // delay=1
@!p0            bra pT L21                                 // delay=1
} -> [6, 8]
block.u 6 L23 [5] -> {
} -> [7]
block 7 L22 [6] -> {
                bra pT L24                                 // delay=1
} -> [9]
block 8 L21 [5] -> {
      r13     = mov r20                                    // delay=1
                bra pT L11                                 // delay=1
} -> [2]
block 9 L24 [7, 0] -> {
                bar.sync                                   // delay=6 yld
                membar.sc..cta                             // delay=6
                st.local.a64.b32 [r1] r2                   // delay=1 rd:0
                exit                                       // delay=1
} -> []
`;

/** Adreno 730, `layerNorm/workgroup`: a jump ends a block, and to what stands behind it nothing leads; an outer loop. */
export const IR3 = `Native code for unnamed CL shader (null) with blake3 e968a474:
; num_ubos:           0
@const(c12.x)	0x00000200, 0x00000000, 0xc77fe000, 0x477fe000
shps #l13
ldc.u.offset1.1.imm.base0 r48.w, 0, 8
(sy)(ss)shpe
l13:
(sy)(ss)br !p0.y, #l311
mull.u r49.w, r48.x, c8.z
l59:
(nop3) cmps.u.ge p0.y, r2.z, c8.z
(rpt1)nop
br p0.y, #l78
isam.v.base0 (u16)(xyzw)hr8.x, r3.w, s#0, t#0
(sy)(rpt3)cov.f16f32 r4.z, (last)(r)hr8.x
(rpt1)mad.f32 r9.z, c4.x, (neg)r5.y, (r)(last)r8.z
br p0.y, #l78
jump #l59
mov.u32u32 r2.z, r0.x
l78:
stl.u32 l[r1.x], r5.w, 2
bar.g
ldl.u32 r11.x, l[r1.x], 4
stp.u32 p[r1.x], r5.w, 1
(ss)rsq r2.x, (last)r2.x
jump #l13
l311:
end
`;
